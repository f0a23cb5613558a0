#!/bin/sh
# Executes its arguments in a mount namespace of their own without the cgroup2 mount of a hybrid
# machine: crun refuses such a machine.
exec unshare --mount --propagation private sh -c '
  if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
  exec "$@"
' sh "$@"
