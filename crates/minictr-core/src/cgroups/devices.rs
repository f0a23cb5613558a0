//! The rules for devices, `config-linux.md#allowed-device-list`, as both versions take them.
//!
//! Rules hold in their order over "everything denied", and each of reading, writing and making a
//! device is decided by itself: by the last rule that names it for that device.

use crate::error::{Error, Result};
use crate::spec::DeviceRule;

/// Reading, writing and making, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access(u8);

impl Access {
    pub(super) const MAKE: Self = Self(1);
    pub(super) const READ: Self = Self(2);
    pub(super) const WRITE: Self = Self(4);
    pub(super) const ALL: Self = Self(7);

    /// As `enum devcg` of the kernel numbers them.
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As in a rule: some of `rwm`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.chars().try_fold(Self::default(), |all, letter| {
            Some(all.with(match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MAKE,
                _ => return None,
            }))
        })
    }

    pub(super) fn letters(self) -> String {
        [(Self::READ, 'r'), (Self::WRITE, 'w'), (Self::MAKE, 'm')]
            .into_iter()
            .filter(|(one, _)| self.meets(*one))
            .map(|(_, letter)| letter)
            .collect()
    }
}

/// Which kind of device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block,
    Character,
}

/// Some devices: of one kind or both, with numbers or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Devices {
    pub(super) kind: Option<Kind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
}

impl Devices {
    pub(super) const ALL: Self = Self { kind: None, major: None, minor: None };

    /// Whether some device is among both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        same(&self.kind, &other.kind)
            && same(&self.major, &other.major)
            && same(&self.minor, &other.minor)
    }

    /// Whether every device of the other is one of these.
    pub(super) fn covers(&self, other: &Self) -> bool {
        fn covers<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || a == b
        }
        covers(&self.kind, &other.kind)
            && covers(&self.major, &other.major)
            && covers(&self.minor, &other.minor)
    }
}

/// One rule, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) devices: Devices,
    pub(super) access: Access,
}

/// `makedev(3)`: what a device number has room for inside the kernel.
const MAX_MAJOR: i64 = 0xfff;
const MAX_MINOR: i64 = 0xf_ffff;

/// Checks rules.
///
/// # Errors
/// `InvalidArgument` for a kind, a number or an access that there isn't.
pub(super) fn rules(rules: &[DeviceRule]) -> Result<Vec<Rule>> {
    rules.iter().map(rule).collect()
}

fn rule(rule: &DeviceRule) -> Result<Rule> {
    let refuse = |what: String, hint: &str| Error::invalid("use device rule with", what).hint(hint);
    let kind = match rule.kind.as_deref() {
        None | Some("" | "a") => None,
        Some("c" | "u") => Some(Kind::Character),
        Some("b") => Some(Kind::Block),
        Some(other) => {
            return Err(refuse(format!("type `{other}`"), "it is `a` (all), `c` or `b`"));
        }
    };
    let number = |number: Option<i64>, most: i64, name: &str| match number {
        None | Some(-1) => Ok(None),
        Some(number) if (0..=most).contains(&number) => Ok(u32::try_from(number).ok()),
        Some(number) => {
            Err(refuse(format!("{name} {number}"), "there is no device of such a number"))
        }
    };
    let access = match rule.access.as_deref() {
        None | Some("") => Access::ALL,
        Some(letters) => match Access::parse(letters) {
            Some(access) => access,
            None => return Err(refuse(format!("access `{letters}`"), "it is some of `rwm`")),
        },
    };
    let devices = Devices {
        kind,
        major: number(rule.major, MAX_MAJOR, "major")?,
        minor: number(rule.minor, MAX_MINOR, "minor")?,
    };
    Ok(Rule { allow: rule.allow, devices, access })
}

/// What rules decide, said without any of their ways to enforce it: what tests compare those with.
#[cfg(test)]
pub(super) fn decide(rules: &[Rule], device: &Devices, access: Access) -> bool {
    [Access::READ, Access::WRITE, Access::MAKE].into_iter().filter(|one| access.meets(*one)).all(
        |one| {
            rules
                .iter()
                .rev()
                .find(|rule| rule.access.meets(one) && rule.devices.covers(device))
                .is_some_and(|rule| rule.allow)
        },
    )
}

/// Every device, access and list of up to three rules over few numbers: enough to meet each way in
/// which rules can lie over one another.
#[cfg(test)]
pub(super) mod cases {
    use super::*;

    pub(in crate::cgroups) fn devices() -> Vec<Devices> {
        let mut all = Vec::new();
        for kind in [Kind::Block, Kind::Character] {
            for major in [0, 1, 4095] {
                for minor in [0, 3, 1_048_575] {
                    all.push(Devices { kind: Some(kind), major: Some(major), minor: Some(minor) });
                }
            }
        }
        all
    }

    pub(in crate::cgroups) fn accesses() -> impl Iterator<Item = Access> {
        (1..8).map(Access)
    }

    fn single() -> Vec<Rule> {
        let mut all = Vec::new();
        for allow in [true, false] {
            for kind in [None, Some(Kind::Character)] {
                for (major, minor) in
                    [(None, None), (Some(1), None), (Some(1), Some(3)), (None, Some(3))]
                {
                    for access in [Access::ALL, Access::WRITE, Access(3)] {
                        let devices = Devices { kind, major, minor };
                        all.push(Rule { allow, devices, access });
                    }
                }
            }
        }
        all
    }

    pub(in crate::cgroups) fn lists() -> Vec<Vec<Rule>> {
        let single = single();
        let mut lists = vec![Vec::new()];
        for a in &single {
            lists.push(vec![*a]);
            for b in &single {
                lists.push(vec![*a, *b]);
                // Every 23rd: all would be some 100,000.
                lists.extend(single.iter().step_by(23).map(|c| vec![*a, *b, *c]));
            }
        }
        lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: &str, major: i64, access: &str) -> DeviceRule {
        DeviceRule {
            allow: true,
            kind: Some(kind.to_owned()),
            major: Some(major),
            minor: None,
            access: Some(access.to_owned()),
        }
    }

    #[test]
    fn absent_and_minus_one_are_any() {
        let any = rule(&DeviceRule { allow: true, ..DeviceRule::default() }).unwrap();
        assert_eq!(any.devices, Devices::ALL);
        assert_eq!(any.access, Access::ALL);
        assert_eq!(rule(&spec("a", -1, "rwm")).unwrap(), any);
    }

    #[test]
    fn refuses_kinds_numbers_and_accesses_that_there_are_not() {
        for wrong in
            [spec("p", 1, "r"), spec("c", 4096, "r"), spec("c", -2, "r"), spec("c", 1, "rx")]
        {
            assert!(rule(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_later_denial_of_writing_leaves_reading() {
        let null = Devices { kind: Some(Kind::Character), major: Some(1), minor: Some(3) };
        let rules = [
            Rule { allow: true, devices: null, access: Access::ALL },
            Rule { allow: false, devices: Devices::ALL, access: Access::WRITE },
        ];
        assert!(decide(&rules, &null, Access::READ));
        assert!(!decide(&rules, &null, Access::READ.with(Access::WRITE)));
    }
}
