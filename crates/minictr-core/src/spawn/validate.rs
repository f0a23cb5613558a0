//! Refuses a request that can't mean a container, before anything is made.

use super::hooks::Moment;
use super::request::LaunchRequest;
use super::{labels, placement};
use crate::error::{Error, ErrorCode, Result};
use crate::network::valid_name;
use crate::spec::{Hooks, Linux, Namespace, NamespaceKind, Process, Spec};
use crate::sys::features;

/// Checks that this kernel has what no container can start without.
///
/// # Errors
/// `KernelUnsupported` with the first interface that is missing.
pub(super) fn kernel() -> Result<()> {
    match features::missing_essential() {
        None => Ok(()),
        Some(missing) => Err(Error::new(
            ErrorCode::KernelUnsupported,
            "start containers:",
            missing.absence(),
        )
        .hint("minictr needs Linux 5.6 or newer; inside another container, perhaps its seccomp filter hides the call")),
    }
}

/// Checks a request that came with `descriptors` descriptors.
///
/// # Errors
/// `InvalidArgument` with the field's name.
pub(super) fn request(request: &LaunchRequest, descriptors: usize) -> Result<()> {
    id(&request.id)?;
    if let Some(bundle) = &request.bundle
        && !bundle.starts_with('/')
    {
        return Err(Error::invalid("use", format!("bundle `{bundle}`: it isn't absolute")));
    }
    let indexes = request.stdio.iter().flatten().chain(&request.preserve_fds);
    if let Some(index) = indexes.into_iter().find(|index| **index as usize >= descriptors) {
        return Err(Error::invalid("use", format!("descriptor {index} of {descriptors}")));
    }
    if request.runtime.join.is_some() {
        return request.spec.process.as_ref().map_or(Ok(()), process);
    }
    if let Some(hooks) = &request.spec.hooks {
        self::hooks(hooks, request.runtime.hooks.is_some())?;
    }
    spec(&request.spec)?;
    let unusable =
        |name: &str| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '#');
    if let Some((name, _)) = request.hosts.iter().find(|(name, _)| unusable(name)) {
        return Err(Error::invalid("use", format!("host name `{}`", name.escape_debug())));
    }
    let rdt = request.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    if rdt.is_some() && request.runtime.resctrl.is_empty() {
        return Err(refuse("linux.intelRdt"));
    }
    let linux = request.spec.linux.as_ref();
    let joins_mounts = linux.is_some_and(|linux| {
        linux
            .namespaces
            .iter()
            .any(|namespace| namespace.kind == NamespaceKind::Mount && namespace.path.is_some())
    });
    if request.host_root.is_some() && joins_mounts {
        return Err(Error::invalid(
            "use",
            "the host's files as a root in an existing mount namespace",
        ));
    }
    Ok(())
}

fn hooks(hooks: &Hooks, run: bool) -> Result<()> {
    for (moment, hook) in Moment::ALL
        .iter()
        .flat_map(|moment| moment.of(hooks).iter().map(move |hook| (moment, hook)))
    {
        let refused = |why: &str| {
            Err(Error::invalid(
                format!("run {} hook", moment.name()),
                format!("`{}`: {why}", hook.path),
            ))
        };
        if !run {
            return Err(refuse("hooks"));
        }
        if !hook.path.starts_with('/') {
            return refused("its path isn't absolute");
        }
        if hook.timeout.is_some_and(|seconds| seconds <= 0) {
            return refused("its timeout isn't over 0");
        }
        if hook.env.iter().any(|entry| !entry.contains('=') || entry.contains('\0')) {
            return refused("its environment isn't one of NAME=value");
        }
    }
    Ok(())
}

/// Checks a container's id.
///
/// # Errors
/// `InvalidArgument`; the sentence is the one that engines know from runc.
pub fn id(id: &str) -> Result<()> {
    let valid = !id.is_empty()
        && id.len() <= 128
        && id.as_bytes()[0].is_ascii_alphanumeric()
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-+".contains(&byte));
    if valid {
        return Ok(());
    }
    Err(Error::invalid("use", format!("`{id}`: invalid container ID format")).hint(
        "an id is 1 to 128 letters, digits and `_`, `.`, `-`, `+`, the first a letter or digit",
    ))
}

/// `field` is its path, and perhaps why, behind a colon.
fn refuse(field: &str) -> Error {
    let (field, why) = field.split_once(':').unwrap_or((field, ""));
    let colon = if why.is_empty() { "" } else { ":" };
    Error::invalid("honour", format!("`{field}` of the spec{colon}{why}"))
}

fn spec(spec: &Spec) -> Result<()> {
    let version = spec.oci_version.split(['.', '-', '+']).next();
    if version != Some("1") {
        return Err(Error::invalid("read spec of version", format!("`{}`", spec.oci_version))
            .hint("versions 1.0.0 to 1.3.0 are known"));
    }
    for (present, field) in [
        (spec.solaris.is_some(), "solaris"),
        (spec.windows.is_some(), "windows"),
        (spec.vm.is_some(), "vm"),
        (spec.zos.is_some(), "zos"),
        (spec.freebsd.is_some(), "freebsd"),
    ] {
        if present {
            return Err(
                refuse(field).hint("it is another platform's; this runtime runs Linux containers")
            );
        }
    }
    if let Some(process) = &spec.process {
        self::process(process)?;
    }
    match &spec.linux {
        Some(linux) => self::linux(spec, linux),
        None => Err(Error::invalid("find", "`linux` in the spec")),
    }
}

fn process(process: &Process) -> Result<()> {
    for (present, field) in [
        (process.command_line.is_some(), "process.commandLine"),
        (process.user.username.is_some(), "process.user.username"),
    ] {
        if present {
            return Err(refuse(field));
        }
    }
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if given(&process.apparmor_profile) && !labels::apparmor_enabled() {
        return Err(refuse("process.apparmorProfile: this kernel runs without AppArmor"));
    }
    if given(&process.selinux_label) && !labels::selinux_enabled() {
        return Err(refuse("process.selinuxLabel: this kernel runs without SELinux"));
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        // For the processes that join; a list that is none is an error now, not then.
        placement::affinity(affinity)?;
    }
    if let Some(score) = process.oom_score_adj
        && !(-1000..=1000).contains(&score)
    {
        return Err(Error::invalid("use", format!("oomScoreAdj {score}"))
            .hint("it is between -1000 and 1000"));
    }
    for limit in &process.rlimits {
        if limit.soft > limit.hard {
            return Err(Error::invalid(
                "use",
                format!("limit {}: soft {} is over hard {}", limit.kind, limit.soft, limit.hard),
            ));
        }
    }
    Ok(())
}

fn linux(spec: &Spec, linux: &Linux) -> Result<()> {
    if linux.mount_label.as_ref().is_some_and(|label| !label.is_empty())
        && !labels::selinux_enabled()
    {
        return Err(refuse("linux.mountLabel: this kernel runs without SELinux"));
    }
    net_devices(linux)?;
    if let Some(seccomp) = &linux.seccomp
        && seccomp.listener_metadata.is_some()
        && seccomp.listener_path.is_none()
    {
        return Err(Error::invalid("use", "linux.seccomp.listenerMetadata without a listenerPath"));
    }
    let mut seen = Vec::new();
    for namespace in &linux.namespaces {
        if seen.contains(&namespace.kind) {
            return Err(Error::invalid("use", format!("namespace {:?} twice", namespace.kind)));
        }
        seen.push(namespace.kind);
        if let Some(path) = &namespace.path
            && !path.starts_with('/')
        {
            return Err(Error::invalid("join namespace", format!("`{path}`: it isn't absolute")));
        }
    }
    let has = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind);
    if !has(NamespaceKind::Mount) {
        return Err(Error::invalid("start container", "without a mount namespace of its own"));
    }
    if !has(NamespaceKind::Uts) && (spec.hostname.is_some() || spec.domainname.is_some()) {
        return Err(Error::invalid("set", "a host or domain name without a UTS namespace"));
    }
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if mapped && !has(NamespaceKind::User) {
        return Err(Error::invalid("map", "ids without a user namespace"));
    }
    if !linux.time_offsets.is_empty() && !has(NamespaceKind::Time) {
        return Err(Error::invalid("offset", "clocks without a time namespace"));
    }
    if let Some(clock) = linux.time_offsets.keys().find(|c| *c != "monotonic" && *c != "boottime") {
        return Err(Error::invalid("offset", format!("clock `{clock}`"))
            .hint("it is monotonic or boottime"));
    }
    sysctls(linux)
}

fn net_devices(linux: &Linux) -> Result<()> {
    let own = |namespace: &Namespace| namespace.kind == NamespaceKind::Network;
    if !linux.net_devices.is_empty() && !linux.namespaces.iter().any(own) {
        return Err(refuse("linux.netDevices: the container has no network namespace of its own"));
    }
    let mut names = Vec::new();
    for (host_name, device) in &linux.net_devices {
        let name = device.name.as_ref().filter(|name| !name.is_empty()).unwrap_or(host_name);
        if let Some(wrong) = [host_name, name].into_iter().find(|name| !valid_name(name)) {
            return Err(Error::invalid(
                "use linux.netDevices:",
                format!("`{wrong}` can't be the name of a network device"),
            ));
        }
        if names.contains(&name) {
            return Err(Error::invalid(
                "use linux.netDevices:",
                format!("two are called `{name}`"),
            ));
        }
        names.push(name);
    }
    Ok(())
}

/// Parameters that no namespace owns would be the host's.
fn sysctls(linux: &Linux) -> Result<()> {
    let has_new = |kind| {
        linux.namespaces.iter().any(|namespace| namespace.kind == kind && namespace.path.is_none())
    };
    for name in linux.sysctl.keys() {
        let of_ipc = matches!(
            name.as_str(),
            "kernel.msgmax"
                | "kernel.msgmnb"
                | "kernel.msgmni"
                | "kernel.sem"
                | "kernel.shmall"
                | "kernel.shmmax"
                | "kernel.shmmni"
                | "kernel.shm_rmid_forced"
        ) || name.starts_with("fs.mqueue.");
        let of_uts = matches!(name.as_str(), "kernel.domainname" | "kernel.hostname");
        let of_net = name.starts_with("net.");
        let own = (of_ipc && has_new(NamespaceKind::Ipc))
            || (of_uts && has_new(NamespaceKind::Uts))
            || (of_net && has_new(NamespaceKind::Network));
        if !own {
            let what = if of_ipc || of_uts || of_net {
                "the namespace it belongs to is the host's"
            } else {
                "no namespace owns it, so it would be set for the whole machine"
            };
            return Err(Error::invalid("set kernel parameter", format!("`{name}`: {what}")));
        }
    }
    Ok(())
}
