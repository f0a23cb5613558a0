// Makes what tests need besides the build and find outside the clone, while that is built: most of it
// is waiting for others. What can't be had is said by whoever needs it. Node built-ins only.
import { debianArchive } from './debian-root.mjs';
import { guestImage } from './guest-image.mjs';
import { runtimeTools } from './runtime-tools.mjs';

if (process.getuid() === 0) {
  debianArchive();
  guestImage();
  runtimeTools();
}
