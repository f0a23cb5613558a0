#!/bin/busybox sh
# The first process of the guest that tests run in. It takes the host's files as the lower layer of an
# overlay, mounts what a machine has, and runs the program that `minictr.job` on the kernel's command
# line leads to. Whatever happens, the machine is off afterwards.
busybox=/bin/busybox
alias mount='$busybox mount' mkdir='$busybox mkdir' echo='$busybox echo'

fail() {
  echo "guest: $1"
  $busybox poweroff -f
}

# One that is loaded as a part of the kernel says EEXIST.
for module in $($busybox cat /modules/order); do $busybox insmod "/modules/$module"; done

mount -t proc proc /proc
for word in $($busybox cat /proc/cmdline); do
  case $word in minictr.job=*) job=${word#minictr.job=} ;; esac
done

mount -t virtiofs -o ro host /host || fail 'the host gives no files'
[ -f "/host$job/job.json" ] || fail "no job at $job"
mount -t tmpfs -o mode=755,size=80% layer /layer
mkdir /layer/upper /layer/work /layer/root
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /layer/root ||
  fail 'no overlay over the files of the host'

root=/layer/root
mount -t proc -o nosuid,nodev,noexec proc $root/proc
mount -t sysfs -o nosuid,nodev,noexec sysfs $root/sys
mount -t devtmpfs -o nosuid,mode=755 devtmpfs $root/dev
mkdir -p $root/dev/pts $root/dev/shm $root/dev/mqueue
mount -t devpts -o nosuid,noexec,mode=620,gid=5,ptmxmode=666 devpts $root/dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs $root/dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue $root/dev/mqueue
$busybox ln -sf pts/ptmx $root/dev/ptmx
for link in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
  $busybox ln -sf "${link#*:}" "$root/dev/${link%%:*}"
done
# As udev would leave it.
[ -e $root/dev/fuse ] && $busybox chmod 666 $root/dev/fuse
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs $root/run
mount -t securityfs -o nosuid,nodev,noexec securityfs $root/sys/kernel/security
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 $root/sys/fs/cgroup
for controller in $($busybox cat $root/sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" > $root/sys/fs/cgroup/cgroup.subtree_control
done
# Tests make users. These files change on the host at any time, so they are copied up now.
for file in passwd group shadow gshadow subuid subgid; do
  $busybox rm -f "$root/etc/$file.lock"
  [ -e "$root/etc/$file" ] && $busybox touch "$root/etc/$file"
done
$busybox hostname minictr-guest
$busybox ip link set lo up

# Root filesystems of tests lie on ext4: neither an overlay nor this kernel's tmpfs mounts with
# shifted ids. Not in /run, which tests of other machines' mounts cover.
mkdir -p $root/guest/disk $root/guest/clone
$busybox cp -r "/host$job" $root/guest/job
$busybox truncate -s 8G $root/guest/disk.img
$busybox chroot $root /sbin/mkfs.ext4 -q -E lazy_itable_init=1,nodiscard /guest/disk.img
$busybox losetup $root/dev/loop0 $root/guest/disk.img
mount -t ext4 $root/dev/loop0 $root/guest/disk || fail 'no ext4 file system'
$busybox chmod 1777 $root/guest/disk

# A clone often lies where only its owner may enter, and the tests run as others too.
clone=$($busybox cat $root/guest/job/clone)
mount --bind "$root$clone" $root/guest/clone

# Raw: neither a line end nor anything else is changed on the way.
for port in 1 2; do $busybox stty -F $root/dev/ttyS$port raw -echo; done
echo up > $root/dev/ttyS2

# The shell stays the first process: it takes orphans in, and waits for nothing but its child.
exec $busybox switch_root $root /bin/busybox sh -c '
  "$(/bin/busybox cat /guest/job/node)" /guest/clone/scripts/support/guest-main.mjs \
    </dev/null >/dev/ttyS1 2>&1
  /bin/busybox poweroff -f
' 
