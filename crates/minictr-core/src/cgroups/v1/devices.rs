//! `devices.*` of v1, `Documentation/admin-guide/cgroup-v1/devices.rst`: a default and exceptions.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::devices::{Access, Devices, Kind, Rule};
use super::super::files::read;
use crate::error::{Error, Result};

/// What the kernel can hold: everything allowed or denied, but for some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    allows: bool,
    exceptions: BTreeMap<Devices, Access>,
}

impl List {
    /// What rules come to.
    ///
    /// # Errors
    /// `InvalidArgument` for a rule that takes some devices out of a wider rule before it.
    fn of(rules: &[Rule]) -> Result<Self> {
        let mut list = Self::default();
        for rule in rules {
            if rule.devices == Devices::ALL && rule.access == Access::ALL {
                list = Self { allows: rule.allow, exceptions: BTreeMap::new() };
                continue;
            }
            for kind in [Kind::Block, Kind::Character] {
                let devices = Devices { kind: Some(kind), ..rule.devices };
                if rule.devices.kind.is_none_or(|only| only == kind) {
                    list.add(rule, devices)?;
                }
            }
        }
        Ok(list)
    }

    fn add(&mut self, rule: &Rule, devices: Devices) -> Result<()> {
        if rule.allow != self.allows {
            let access = self.exceptions.entry(devices).or_default();
            *access = access.with(rule.access);
            return Ok(());
        }
        for (exception, access) in &mut self.exceptions {
            if devices.covers(exception) {
                *access = access.without(rule.access);
            } else if devices.meets(exception) && access.meets(rule.access) {
                let verb = if rule.allow { "allow" } else { "deny" };
                let object = format!(
                    "{verb} `{}` within `{}`",
                    line(&devices, rule.access),
                    line(exception, *access)
                );
                return Err(Error::invalid("use device rule:", object).hint(
                    "cgroup v1 can't take single devices out of a rule for more of them: name the devices one by one",
                ));
            }
        }
        self.exceptions.retain(|_, access| !access.is_empty());
        Ok(())
    }

    /// What `devices.list` shows; `None` for a list with exceptions that it doesn't show.
    fn parse(text: &str) -> Option<Self> {
        let mut exceptions = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split([' ', ':']);
            let kind = match words.next()? {
                "b" => Kind::Block,
                "c" => Kind::Character,
                _ => return None,
            };
            let mut number = || match words.next()? {
                "*" => Some(None),
                number => number.parse().ok().map(Some),
            };
            let devices = Devices { kind: Some(kind), major: number()?, minor: number()? };
            exceptions.insert(devices, Access::parse(words.next()?)?);
        }
        Some(Self { allows: false, exceptions })
    }
}

/// A line such as `c 1:3 rwm`.
fn line(devices: &Devices, access: Access) -> String {
    let kind = match devices.kind {
        Some(Kind::Block) => 'b',
        Some(Kind::Character) => 'c',
        None => 'a',
    };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    format!("{kind} {}:{} {}", number(devices.major), number(devices.minor), access.letters())
}

const ALLOW: &str = "devices.allow";
const DENY: &str = "devices.deny";

/// The list that rules come to. What stays allowed is never denied in between.
///
/// # Errors
/// `InvalidArgument` for a rule that v1 can't hold.
pub(in crate::cgroups) fn changes(
    now: BorrowedFd<'_>,
    rules: &[Rule],
    changes: &mut Changes,
) -> Result<()> {
    let list = List::of(rules)?;
    let before = read(now, "devices.list").ok().and_then(|text| List::parse(&text));
    match before {
        Some(before) if !list.allows => {
            let none = Access::default();
            for (devices, access) in &list.exceptions {
                let had = before.exceptions.get(devices).copied().unwrap_or(none);
                let more = access.without(had);
                if !more.is_empty() {
                    changes.set_against(ALLOW, line(devices, more), DENY);
                }
            }
            for (devices, had) in &before.exceptions {
                let access = list.exceptions.get(devices).copied().unwrap_or(none);
                let less = had.without(access);
                if !less.is_empty() {
                    changes.set_against(DENY, line(devices, less), ALLOW);
                }
            }
        }
        _ => {
            let (all, but) = if list.allows { (ALLOW, DENY) } else { (DENY, ALLOW) };
            changes.set_against(all, "a", but);
            for (devices, access) in &list.exceptions {
                changes.set_against(but, line(devices, *access), all);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::devices::{cases, decide};
    use super::super::super::files::fake::Fake;
    use super::*;

    /// What the kernel does with a list, `security/device_cgroup.c`.
    fn kernel(list: &List, device: &Devices, access: Access) -> bool {
        if list.allows {
            !list.exceptions.iter().any(|(e, denied)| e.covers(device) && denied.meets(access))
        } else {
            // One exception has to allow all that is asked for.
            list.exceptions
                .iter()
                .any(|(e, allowed)| e.covers(device) && access.without(*allowed).is_empty())
        }
    }

    #[test]
    fn a_list_allows_nothing_that_the_rules_do_not() {
        let (mut held, mut refused) = (0, 0);
        for rules in cases::lists() {
            let Ok(list) = List::of(&rules) else {
                refused += 1;
                continue;
            };
            held += 1;
            for device in cases::devices() {
                for access in cases::accesses() {
                    let allowed = kernel(&list, &device, access);
                    let wanted = decide(&rules, &device, access);
                    assert!(!allowed || wanted, "{rules:?}: {device:?} {access:?}");
                    // One kind of access at a time is decided exactly.
                    if [Access::READ, Access::WRITE, Access::MAKE].contains(&access) {
                        assert_eq!(allowed, wanted, "{rules:?}: {device:?} {access:?}");
                    }
                }
            }
        }
        assert!(held > 1000 && refused > 100, "{held} {refused}");
    }

    fn rule(allow: bool, kind: Kind, numbers: (Option<u32>, Option<u32>), access: Access) -> Rule {
        let devices = Devices { kind: Some(kind), major: numbers.0, minor: numbers.1 };
        Rule { allow, devices, access }
    }

    #[test]
    fn a_new_list_begins_with_everything_denied() {
        let rules = [
            Rule { allow: false, devices: Devices::ALL, access: Access::ALL },
            rule(true, Kind::Character, (Some(1), Some(3)), Access::ALL),
            rule(true, Kind::Character, (None, None), Access::MAKE),
        ];
        let mut made = Changes::default();
        changes(Fake::new(&[("devices.list", "a *:* rwm\n")]).fd(), &rules, &mut made).unwrap();
        assert_eq!(
            made.listed(),
            [("devices.deny", "a"), ("devices.allow", "c *:* m"), ("devices.allow", "c 1:3 rwm")]
        );
    }

    #[test]
    fn a_changed_list_takes_away_nothing_that_stays() {
        let now = Fake::new(&[("devices.list", "c 1:3 rwm\nc 1:5 rw\n")]);
        let rules = [
            rule(true, Kind::Character, (Some(1), Some(3)), Access::READ),
            rule(true, Kind::Block, (Some(8), None), Access::ALL),
        ];
        let mut made = Changes::default();
        changes(now.fd(), &rules, &mut made).unwrap();
        assert_eq!(
            made.listed(),
            [
                ("devices.allow", "b 8:* rwm"),
                ("devices.deny", "c 1:3 wm"),
                ("devices.deny", "c 1:5 rw")
            ]
        );
    }

    #[test]
    fn refuses_a_hole_in_a_wider_rule() {
        let rules = [
            rule(true, Kind::Character, (Some(1), None), Access::ALL),
            rule(false, Kind::Character, (Some(1), Some(3)), Access::WRITE),
        ];
        let error = List::of(&rules).unwrap_err();
        assert_eq!(error.message(), "use device rule: deny `c 1:3 w` within `c 1:* rwm`");
    }
}
