//! Steps from all privileges to the few of the spec.

use std::rc::Rc;

use super::Builder;
use crate::capabilities::{self, CapabilitySets};
use crate::error::{Error, ErrorCode, Result};
use crate::seccomp;
use crate::spawn::ids::IdPlan;
use crate::spawn::labels::Attribute;
use crate::spawn::plan::{Object, Step};
use crate::spawn::request::SeccompSource;
use crate::spec::{Linux, Process};

/// Identity: from the container's root with all capabilities to the container's user with few.
/// Returns the filter that is still to be loaded.
pub(super) fn give_up_privileges(
    builder: &mut Builder<'_>,
    linux: &Linux,
    process: &Process,
) -> Result<Option<Rc<seccomp::Program>>> {
    // Before the ids change: the keyring's quota is charged to the container's root, not to one
    // user after the other. Only the built-in filters deny every call that reaches a key.
    let label = process.selinux_label.as_deref().filter(|label| !label.is_empty());
    let attribute = |builder: &mut Builder<'_>, attribute| {
        let step = Step::SecurityAttribute(attribute);
        builder.push(step, ErrorCode::Security, "write", Object::OfStep);
    };
    if let Some(profile) = process.apparmor_profile.as_deref().filter(|text| !text.is_empty()) {
        attribute(builder, Attribute::Profile(profile.to_owned()));
    }
    if let Some(label) = label {
        attribute(builder, Attribute::Label(label.to_owned()));
        // What the container may do with its keyring goes by its label.
        attribute(builder, Attribute::KeyLabel(Some(label.to_owned())));
    }
    let tolerate_quota = builder.request.seccomp != SeccompSource::Spec;
    if !builder.request.runtime.no_new_keyring {
        builder.push(
            Step::SessionKeyring { tolerate_quota },
            ErrorCode::Security,
            "join",
            "a new session keyring",
        );
    }
    if label.is_some() {
        attribute(builder, Attribute::KeyLabel(None));
    }
    // While it still may make the calls for it, whatever the filter.
    builder.push(Step::AwaitRecord, ErrorCode::Internal, "wait for", "the parent");
    // After all that the set-up uses, and before anything of the container's is read or run.
    builder.push(
        Step::AttachMemory,
        ErrorCode::Cgroup,
        "attach to memory cgroup of",
        format!("container `{}`", builder.request.id),
    );

    if builder.host.ids != IdPlan::Own
        && (builder.request.user.is_some() || !builder.request.groups.is_empty())
    {
        // In the finished root: the container's own passwd is meant, a volume on /etc included.
        let user = builder
            .request
            .user
            .clone()
            .unwrap_or_else(|| format!("{}:{}", process.user.uid, process.user.gid));
        let object = format!("`{user}`");
        let step = Step::ResolveUser {
            root: c"/".to_owned(),
            user,
            groups: builder.request.groups.clone(),
        };
        builder.push(step, ErrorCode::UnknownUser, "look up user", object);
    }
    let sets = match &process.capabilities {
        Some(capabilities) => CapabilitySets::from_spec(capabilities)?,
        None => CapabilitySets::default(),
    };
    let no_new_privileges = process.no_new_privileges.unwrap_or(false);
    let mut filter = filter(builder, linux, &sets)?;
    if !no_new_privileges && let Some(filter) = filter.take() {
        // Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes below.
        builder.push(Step::Seccomp(filter), ErrorCode::Seccomp, "load", "seccomp filter");
    }
    // Needs CAP_SETPCAP, so it comes before the other sets shrink.
    let all = capabilities::last_cap_mask();
    let dropped = all & !sets.bounding.bits();
    builder.push(Step::DropBounding(dropped), ErrorCode::Security, "drop", "bounding capabilities");
    // One mapped id is that of the child from the start; groups can't be set there.
    let own = builder.host.ids == IdPlan::Own;
    if !own && !stays_root(builder, process) {
        let step = Step::SetIds {
            uid: process.user.uid,
            gid: process.user.gid,
            groups: process.user.additional_gids.clone(),
            set_groups: !builder.request.runtime.keep_groups,
        };
        builder.push(
            step,
            ErrorCode::Security,
            "become user",
            format!("{}:{}", process.user.uid, process.user.gid),
        );
    }
    // A new user namespace has them all; without one, what the caller lacks can't be given, which
    // is no error (`config.md#linux-process`).
    let grantable = match builder.host.ids {
        IdPlan::Host => all & builder.host.caller.capabilities,
        _ => all,
    };
    let step = Step::SetCapabilities {
        effective: sets.effective.bits() & grantable,
        permitted: sets.permitted.bits() & grantable,
        inheritable: sets.inheritable.bits() & grantable,
        ambient: sets.ambient.bits() & grantable,
    };
    builder.push(step, ErrorCode::Security, "set capabilities of", "the container");
    if builder.request.init {
        builder.push(Step::Init, ErrorCode::ResourceExhausted, "fork", "the container's init");
    }
    if no_new_privileges {
        builder.push(
            Step::NoNewPrivileges,
            ErrorCode::Security,
            "set no_new_privs of",
            "the container",
        );
    }
    // Every change of ids or capabilities above cleared the death signal.
    builder.push(
        Step::DieWithParent,
        ErrorCode::Internal,
        "set parent death signal of",
        "the container",
    );
    builder.push(Step::CheckParent, ErrorCode::Internal, "check", "the parent");
    Ok(filter)
}

/// Whether the container's user is what the child has become before: its root, in no group. With a
/// terminal the pty is given to the user too.
fn stays_root(builder: &Builder<'_>, process: &Process) -> bool {
    let user = &process.user;
    let asked = user.uid != 0
        || user.gid != 0
        || !user.additional_gids.is_empty()
        || builder.request.user.is_some()
        || !builder.request.groups.is_empty();
    let is_root = |step: &Step| matches!(step, Step::BecomeRoot { .. });
    !asked && !process.terminal.unwrap_or(false) && builder.steps.iter().any(is_root)
}

fn filter(
    builder: &mut Builder<'_>,
    linux: &Linux,
    sets: &CapabilitySets,
) -> Result<Option<Rc<seccomp::Program>>> {
    match builder.request.seccomp {
        SeccompSource::Default => Ok(Some(seccomp::default_program(sets.bounding, false)?)),
        SeccompSource::Nesting => Ok(Some(seccomp::default_program(sets.bounding, true)?)),
        SeccompSource::Spec => match &linux.seccomp {
            Some(profile) => {
                let program = builder.host.filters.compiled(profile)?;
                if program.notifies() && builder.request.runtime.listener.is_none() {
                    return Err(Error::new(
                        ErrorCode::Seccomp,
                        "load",
                        "a seccomp filter with `SCMP_ACT_NOTIFY` and no `linux.seccomp.listenerPath`",
                    ));
                }
                Ok(Some(program))
            }
            None => Ok(None),
        },
    }
}
