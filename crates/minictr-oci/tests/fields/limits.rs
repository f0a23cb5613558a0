//! Limits, which have tests of their own in the core, for each version of cgroups.

use super::Proof::In;
use super::{ANY, Field};

const CGROUPS: &str = "minictr-core/tests/cgroups.rs";
const V1_MEMORY: &str = "minictr-core/src/cgroups/v1/memory.rs";
const V2_MEMORY: &str = "minictr-core/src/cgroups/v2/memory.rs";
const V2_CPU: &str = "minictr-core/src/cgroups/v2/cpu.rs";
const V1_CPUSET: &str = "minictr-core/src/cgroups/v1/cpuset.rs";
const V1_BLKIO: &str = "minictr-core/src/cgroups/v1/blkio.rs";
const V1_NETWORK: &str = "minictr-core/src/cgroups/v1/network.rs";
const HUGETLB: &str = "minictr-core/src/cgroups/hugetlb.rs";
const RDMA: &str = "minictr-core/src/cgroups/rdma.rs";

pub(crate) fn resources() -> Vec<Field> {
    let rules = || In(CGROUPS, "device_rules_hold_and_are_replaced");
    let io = |name| In(V1_BLKIO, name);
    let mut fields = vec![
        ("linux.resources.devices[].allow", ANY, rules()),
        ("linux.resources.devices[].type", ANY, rules()),
        ("linux.resources.devices[].major", ANY, rules()),
        ("linux.resources.devices[].minor", ANY, rules()),
        ("linux.resources.devices[].access", ANY, rules()),
        (
            "linux.resources.memory.limit",
            ANY,
            In("minictr-core/tests/limits.rs", "a_memory_hog_is_killed_at_its_limit"),
        ),
        ("linux.resources.memory.reservation", ANY, In(V2_MEMORY, ".reservation")),
        ("linux.resources.memory.swap", ANY, In(V2_MEMORY, ".swap")),
        ("linux.resources.memory.kernel", ANY, In(V1_MEMORY, ".kernel")),
        ("linux.resources.memory.kernelTCP", ANY, In(V1_MEMORY, ".kernel_tcp")),
        ("linux.resources.memory.swappiness", ANY, In(V1_MEMORY, ".swappiness")),
        ("linux.resources.memory.disableOOMKiller", ANY, In(V1_MEMORY, ".disable_oom_killer")),
        ("linux.resources.memory.useHierarchy", ANY, In(V1_MEMORY, ".use_hierarchy")),
        (
            "linux.resources.memory.checkBeforeUpdate",
            ANY,
            In(V1_MEMORY, "refuses_a_limit_below_what_is_in_use_when_asked_to"),
        ),
        ("linux.resources.cpu.shares", ANY, In(V2_CPU, ".shares")),
        ("linux.resources.cpu.quota", ANY, In(V2_CPU, ".quota")),
        ("linux.resources.cpu.burst", ANY, In(V2_CPU, ".burst")),
        ("linux.resources.cpu.period", ANY, In(V2_CPU, ".period")),
        ("linux.resources.cpu.realtimeRuntime", ANY, In(V2_CPU, ".realtime_runtime")),
        ("linux.resources.cpu.realtimePeriod", ANY, In(V2_CPU, ".realtime_period")),
        ("linux.resources.cpu.cpus", ANY, In(V1_CPUSET, ".cpus")),
        ("linux.resources.cpu.mems", ANY, In(V1_CPUSET, ".mems")),
        ("linux.resources.cpu.idle", ANY, In(V2_CPU, ".idle")),
        (
            "linux.resources.pids.limit",
            ANY,
            In("minictr-core/tests/limits.rs", "a_fork_bomb_is_held_at_its_limit"),
        ),
        ("linux.resources.blockIO.weight", ANY, io(".weight")),
        ("linux.resources.blockIO.leafWeight", ANY, io(".leaf_weight")),
        ("linux.resources.blockIO.weightDevice[].major", ANY, io(".weight_device")),
        ("linux.resources.blockIO.weightDevice[].minor", ANY, io(".weight_device")),
        ("linux.resources.blockIO.weightDevice[].weight", ANY, io(".weight_device")),
        ("linux.resources.blockIO.weightDevice[].leafWeight", ANY, io(".weight_device")),
        (
            "linux.resources.hugepageLimits[].pageSize",
            ANY,
            In(HUGETLB, "refuses_a_page_size_that_would_name_another_file"),
        ),
        ("linux.resources.hugepageLimits[].limit", ANY, In(HUGETLB, "limit")),
        ("linux.resources.network.classID", ANY, In(V1_NETWORK, ".class_id")),
        ("linux.resources.network.priorities[].name", ANY, In(V1_NETWORK, ".priorities")),
        ("linux.resources.network.priorities[].priority", ANY, In(V1_NETWORK, ".priorities")),
        ("linux.resources.rdma.{}.hcaHandles", ANY, In(RDMA, ".hca_handles")),
        ("linux.resources.rdma.{}.hcaObjects", ANY, In(RDMA, ".hca_objects")),
        ("linux.resources.unified.{}", ANY, In(CGROUPS, "refuses_by_name_what_a_version_has_not")),
    ];
    let throttles = [
        [
            "linux.resources.blockIO.throttleReadBpsDevice[].major",
            "linux.resources.blockIO.throttleReadBpsDevice[].minor",
            "linux.resources.blockIO.throttleReadBpsDevice[].rate",
        ],
        [
            "linux.resources.blockIO.throttleWriteBpsDevice[].major",
            "linux.resources.blockIO.throttleWriteBpsDevice[].minor",
            "linux.resources.blockIO.throttleWriteBpsDevice[].rate",
        ],
        [
            "linux.resources.blockIO.throttleReadIOPSDevice[].major",
            "linux.resources.blockIO.throttleReadIOPSDevice[].minor",
            "linux.resources.blockIO.throttleReadIOPSDevice[].rate",
        ],
        [
            "linux.resources.blockIO.throttleWriteIOPSDevice[].major",
            "linux.resources.blockIO.throttleWriteIOPSDevice[].minor",
            "linux.resources.blockIO.throttleWriteIOPSDevice[].rate",
        ],
    ];
    fields.extend(
        throttles
            .into_iter()
            .flatten()
            .map(|path| (path, ANY, In(CGROUPS, "io_is_limited_and_counted"))),
    );
    fields
}
