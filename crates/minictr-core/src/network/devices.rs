//! Devices of the host's network namespace that a container gets: `linux.netDevices`,
//! `config-linux.md#netdevices`.
//!
//! A device never has its new name on the host, where that may be another's. It loses its addresses on
//! the way, which are read before and set again inside. Callers: the parent, once the container's first
//! process is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};

use super::netlink::{Message, Netlink, attributes};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::NetDevice;
use crate::sys::{clone, process};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const CREATE_OR_REPLACE: u16 = 0x500;
// linux/if_link.h
const LINK_NAME: u16 = 3;
const LINK_NAMESPACE_OF: u16 = 19;
// linux/if_addr.h
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const LABEL: u16 = 3;
const BROADCAST: u16 = 4;
const FLAGS: u16 = 8;
const PRIORITY: u16 = 9;
const PROTOCOL: u16 = 11;
const PERMANENT: u32 = 0x80;
/// Flags that whoever set the address has chosen: no duplicate detection, no route for its prefix,
/// joins its multicast group.
const CHOSEN: u32 = 0x02 | 0x200 | 0x400;
/// `struct ifaddrmsg`: family, prefix length, flags, scope, index.
const ADDRESS_FIXED: usize = 8;
const NAME_LENGTH: usize = 15;

/// Whether a name can be that of a device, as the kernel has it.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= NAME_LENGTH
        && !name.bytes().any(|byte| matches!(byte, b'/' | b':') || byte.is_ascii_whitespace())
        && !name.contains('\0')
}

/// An address as it is set again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    family: u8,
    prefix: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// One device to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlan {
    host_name: String,
    name: String,
    index: u32,
    addresses: Vec<Address>,
}

/// Looks at the devices of a spec, as they are on the host now.
///
/// # Errors
/// `InvalidArgument` where there is no such device, `Namespace` where they can't be looked at.
pub fn plan(devices: &BTreeMap<String, NetDevice>) -> Result<Vec<DevicePlan>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let found = Netlink::open().and_then(|netlink| addresses(&netlink));
    let mut found = found.context(ErrorCode::Namespace, "list", "the addresses of this machine")?;
    let plans = devices.iter().map(|(host_name, device)| {
        let index = if_nametoindex(host_name.as_str()).context(
            ErrorCode::InvalidArgument,
            "find network device",
            format!("`{host_name}` of linux.netDevices"),
        )?;
        let name = device.name.as_ref().filter(|name| !name.is_empty()).unwrap_or(host_name);
        let mut addresses = found.remove(&index).unwrap_or_default();
        for address in &mut addresses {
            relabel(address, host_name, name);
        }
        let (host_name, name) = (host_name.clone(), name.clone());
        Ok(DevicePlan { host_name, name, index, addresses })
    });
    plans.collect()
}

/// Addresses by device: those that somebody has set and that mean the same elsewhere. The others the
/// container's namespace finds itself, or can't have.
fn addresses(netlink: &Netlink) -> Result<BTreeMap<u32, Vec<Address>>, Errno> {
    let mut found: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
    let every = Message::new(GET_ADDRESS, 0, &[0; ADDRESS_FIXED]);
    netlink.list(every, |kind, body| {
        let Some((fixed, rest)) = body.split_at_checked(ADDRESS_FIXED) else { return };
        let (family, prefix, scope) = (fixed[0], fixed[1], fixed[3]);
        let index = u32::from_ne_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let mut flags = u32::from(fixed[2]);
        let mut kept = Vec::new();
        for (kind, value) in attributes(rest) {
            match (kind, <[u8; 4]>::try_from(value)) {
                (FLAGS, Ok(value)) => flags = u32::from_ne_bytes(value),
                (ADDRESS | LOCAL | LABEL | BROADCAST | PRIORITY | PROTOCOL, _) => {
                    kept.push((kind, value.to_vec()));
                }
                _ => {}
            }
        }
        const EVERYWHERE: u8 = 0;
        if kind == NEW_ADDRESS && scope == EVERYWHERE && flags & PERMANENT != 0 {
            kept.push((FLAGS, (flags & CHOSEN).to_ne_bytes().to_vec()));
            found.entry(index).or_default().push(Address { family, prefix, attributes: kept });
        }
    })?;
    Ok(found)
}

/// The label of an address begins with its device's name, which may be another one now.
fn relabel(address: &mut Address, host_name: &str, name: &str) {
    address.attributes.retain_mut(|(kind, value)| {
        if *kind != LABEL {
            return true;
        }
        let label = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        let label = label.strip_prefix(host_name).map(|rest| format!("{name}{rest}\0"));
        match label.filter(|label| label.len() <= NAME_LENGTH + 1) {
            Some(label) => {
                *value = label.into_bytes();
                true
            }
            None => false,
        }
    });
}

/// `struct ifinfomsg`: family, type, index, flags, which of them change.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut fixed = vec![0; 4];
    for word in [index, flags, change] {
        fixed.extend_from_slice(&word.to_ne_bytes());
    }
    fixed
}

impl DevicePlan {
    /// Moves the device into the network namespace of a process, with its addresses, and sets it up.
    ///
    /// # Errors
    /// `Namespace`: EPERM without `CAP_NET_ADMIN` in both namespaces, EEXIST for a name that is taken,
    /// EINVAL for a device that can't be moved, such as `lo`.
    pub fn move_into(&self, pid: i32) -> Result<()> {
        let object = || format!("`{}` as `{}` of the container", self.host_name, self.name);
        let context = "move network device";
        let path = format!("/proc/{pid}/ns/net");
        let namespace = File::open(path).context(ErrorCode::Namespace, context, object())?;
        // The kernel moves a device before it finds that its new name is taken.
        let free = || match if_nametoindex(self.name.as_str()) {
            Ok(_) => Err(Errno::EEXIST),
            Err(_) => Ok(()),
        };
        inside(&namespace, free)?.context(ErrorCode::Namespace, context, object())?;
        let netlink = Netlink::open().context(ErrorCode::Namespace, context, object())?;
        let mut message = Message::new(NEW_LINK, 0, &link(self.index, 0, 0));
        message.attribute(LINK_NAMESPACE_OF, &(pid as u32).to_ne_bytes());
        message.attribute(LINK_NAME, format!("{}\0", self.name).as_bytes());
        netlink.change(message).context(ErrorCode::Namespace, context, object())?;
        inside(&namespace, || self.set_up())?.context(
            ErrorCode::Namespace,
            "set up network device",
            object(),
        )
    }

    /// In the container's namespace.
    fn set_up(&self) -> Result<(), Errno> {
        const UP: u32 = 1;
        let index = if_nametoindex(self.name.as_str())?;
        let netlink = Netlink::open()?;
        for address in &self.addresses {
            let mut fixed = vec![address.family, address.prefix, 0, 0];
            fixed.extend_from_slice(&index.to_ne_bytes());
            let mut message = Message::new(NEW_ADDRESS, CREATE_OR_REPLACE, &fixed);
            for (kind, value) in &address.attributes {
                message.attribute(*kind, value);
            }
            netlink.change(message)?;
        }
        netlink.change(Message::new(NEW_LINK, 0, &link(index, UP, UP)))
    }
}

/// Does something in a network namespace: in another process, which stays there, as this one has other
/// containers to serve.
fn inside(namespace: &File, work: impl Fn() -> Result<(), Errno>) -> Result<Result<(), Errno>> {
    let what = "the container's network devices";
    let child = clone::clone3(0, None, || {
        let done = setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).and_then(|()| work());
        clone::exit_now(done.map_or_else(|errno| errno as i32, |()| 0))
    });
    let child = child.context(ErrorCode::ResourceExhausted, "start a process for", what)?;
    let ended = process::reap_blocking(child.pidfd.as_fd());
    match ended.context(ErrorCode::Internal, "wait for a process for", what)?.code {
        Some(0) => Ok(Ok(())),
        Some(errno) => Ok(Err(Errno::from_raw(errno))),
        None => Err(Error::new(ErrorCode::Aborted, "look after", what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_takes() {
        assert!(["eth0", "a", "fifteen_letters"].into_iter().all(valid_name));
        for name in ["", ".", "..", "a/b", "a b", "a:1", "sixteen_letters_", "tab\t"] {
            assert!(!valid_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_label_goes_with_the_name_of_its_device() {
        let label = |text: &str, to: &str| {
            let attributes = vec![(LABEL, format!("{text}\0").into_bytes())];
            let mut address = Address { family: 2, prefix: 24, attributes };
            relabel(&mut address, "eth0", to);
            address.attributes.pop().map(|(_, value)| String::from_utf8(value).unwrap())
        };
        assert_eq!(label("eth0:1", "net1"), Some("net1:1\0".to_owned()));
        assert_eq!(label("eth0:1", "fifteen_letters"), None);
        assert_eq!(label("other", "net1"), None);
    }
}
