/** What the options of a line of `minictr run` add up to. */
import type { ForegroundOptions, IoDeviceLimits, Limits, Mount } from '../../index.js';
import type { SecurityDraft } from '../security-options.js';

type Draft<Options> = { -readonly [Name in keyof Options]: Options[Name] };

/** What the options of a line say; the library's options, and what only the command line knows. */
export interface RunDraft {
  /** Directory that becomes `/`; undefined where the line doesn't say. */
  rootfs: string | undefined;
  /** Program and first arguments in the place of COMMAND. */
  entrypoint: readonly string[];
  json: boolean;
  options: Draft<Omit<ForegroundOptions, 'rootfs' | 'env' | 'limits' | 'mounts' | 'security'>> & {
    env: Record<string, string | undefined>;
    limits: Draft<Limits> & {
      ulimits: Record<string, { soft: number; hard: number }>;
      ioDevices: Record<string, IoDeviceLimits>;
      cgroupFiles: Record<string, string>;
    };
    mounts: Record<string, Mount>;
    security: SecurityDraft & { capAdd: string[]; capDrop: string[] };
    addHosts: Record<string, string>;
    sysctls: Record<string, string>;
    groups: string[];
    devices: Array<string | { host: string; container: string }>;
    deviceRules: string[];
  };
}

/** A draft without a word said. */
export function newRunDraft(): RunDraft {
  return {
    rootfs: undefined,
    entrypoint: [],
    json: false,
    options: {
      env: {},
      limits: { ulimits: {}, ioDevices: {}, cgroupFiles: {} },
      mounts: {},
      security: { capAdd: [], capDrop: [] },
      addHosts: {},
      sysctls: {},
      groups: [],
      devices: [],
      deviceRules: [],
    },
  };
}
