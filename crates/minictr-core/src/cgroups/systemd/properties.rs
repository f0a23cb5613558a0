//! Limits as properties of a unit, `org.freedesktop.systemd1(5)` and `systemd.resource-control(5)`:
//! so that systemd, which writes its own idea of them when it is reloaded, has the same.
//!
//! What has no property, or one that means something else, is written to the cgroup alone.

use std::collections::BTreeMap;

use super::super::devices::{self, Access, Devices, Kind};
use super::super::v2;
use super::Property;
use crate::dbus::Value;
use crate::error::Result;
use crate::spec::{DeviceRule, Resources};

/// What systemd takes for "no limit".
const INFINITY: u64 = u64::MAX;
const DEFAULT_PERIOD_US: u64 = 100_000;
const SECOND_US: u64 = 1_000_000;
/// systemd counts a quota in these steps: rounded up, or it would write less than was asked for.
const QUOTA_STEP_US: u64 = 10_000;
/// A weight that nobody has: CPUs that a bit mask is made for.
const MAX_CPUS: usize = 8192;

fn unsigned(name: &str, value: u64) -> Property {
    (name.to_owned(), Value::U64(value))
}

/// -1 is no limit.
fn bytes(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(INFINITY)
}

/// The properties of limits. `only_v2`: the machine has no hierarchy of v1.
///
/// # Errors
/// `InvalidArgument` for a device rule that there isn't.
pub(super) fn of(
    resources: &Resources,
    pids_limit: Option<i64>,
    only_v2: bool,
) -> Result<Vec<Property>> {
    let mut properties = Vec::new();
    if let Some(memory) = &resources.memory {
        if let Some(limit) = memory.limit {
            let name = if only_v2 { "MemoryMax" } else { "MemoryLimit" };
            properties.push(unsigned(name, bytes(limit)));
        }
        if only_v2 {
            properties.extend(memory.reservation.map(|low| unsigned("MemoryLow", bytes(low))));
            let swap = match (memory.swap, memory.limit) {
                (Some(swap), _) if swap < 0 => Some(INFINITY),
                (Some(swap), Some(limit)) if limit >= 0 => {
                    Some(bytes(swap).saturating_sub(bytes(limit)))
                }
                _ => None,
            };
            properties.extend(swap.map(|swap| unsigned("MemorySwapMax", swap)));
        }
    }
    if let Some(cpu) = &resources.cpu {
        // A cgroup that is idle has no weight.
        let idle = cpu.idle.is_some_and(|idle| idle != 0);
        if let Some(shares) = cpu.shares.filter(|shares| *shares > 0 && !idle) {
            properties.push(match only_v2 {
                true => unsigned("CPUWeight", v2::cpu::weight(shares)),
                false => unsigned("CPUShares", shares),
            });
        }
        quota(cpu.quota, cpu.period, &mut properties);
        if only_v2 {
            for (name, list) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
                properties.extend(list.as_deref().and_then(|list| cpus(name, list)));
            }
        }
    }
    if let Some(limit) = pids_limit {
        // systemd has no limit of 0; the cgroup gets it.
        let limit = if limit == 0 { 1 } else { bytes(limit) };
        properties.push(unsigned("TasksMax", limit));
    }
    if let Some(weight) = resources.block_io.as_ref().and_then(|io| io.weight).filter(|w| *w > 0) {
        properties.push(match only_v2 {
            true => unsigned("IOWeight", v2::io::weight(weight)),
            false => unsigned("BlockIOWeight", weight.into()),
        });
    }
    unified(&resources.unified, &mut properties);
    Ok(properties)
}

/// Run time in a period as systemd has it: in a second.
fn quota(quota: Option<i64>, period: Option<u64>, properties: &mut Vec<Property>) {
    let (quota, period) = (quota.filter(|quota| *quota != 0), period.filter(|period| *period > 0));
    if let Some(period) = period {
        properties.push(unsigned("CPUQuotaPeriodUSec", period));
    }
    if quota.is_some() || period.is_some() {
        let per_second = match quota.and_then(|quota| u64::try_from(quota).ok()) {
            Some(quota) => (quota.saturating_mul(SECOND_US) / period.unwrap_or(DEFAULT_PERIOD_US))
                .next_multiple_of(QUOTA_STEP_US),
            None => INFINITY,
        };
        properties.push(unsigned("CPUQuotaPerSecUSec", per_second));
    }
}

/// A list such as `0-3,7` as a bit mask, the first CPU's in the lowest bit of the first byte.
fn cpus(name: &str, list: &str) -> Option<Property> {
    let mut mask: Vec<u8> = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<usize>().ok()?);
        for cpu in first..=last.min(MAX_CPUS) {
            if mask.len() <= cpu / 8 {
                mask.resize(cpu / 8 + 1, 0);
            }
            mask[cpu / 8] |= 1 << (cpu % 8);
        }
    }
    let bytes = mask.into_iter().map(Value::Byte).collect();
    Some((name.to_owned(), Value::Array("y".to_owned(), bytes)))
}

/// Files of v2 that have a property.
fn unified(files: &BTreeMap<String, String>, properties: &mut Vec<Property>) {
    for (file, value) in files {
        let value = value.trim();
        let number = if value == "max" { Some(INFINITY) } else { value.parse().ok() };
        let simple = match file.as_str() {
            "memory.min" => "MemoryMin",
            "memory.low" => "MemoryLow",
            "memory.high" => "MemoryHigh",
            "memory.max" => "MemoryMax",
            "memory.swap.max" => "MemorySwapMax",
            "pids.max" => "TasksMax",
            "cpu.weight" => "CPUWeight",
            "cpu.max" => {
                let (limit, period) = value.split_once(' ').unwrap_or((value, "100000"));
                let limit = if limit == "max" { Some(-1) } else { limit.parse().ok() };
                if let (Some(limit), Ok(period)) = (limit, period.trim().parse()) {
                    quota(Some(limit), Some(period), properties);
                }
                continue;
            }
            "cpuset.cpus" => {
                properties.extend(cpus("AllowedCPUs", value));
                continue;
            }
            "cpuset.mems" => {
                properties.extend(cpus("AllowedMemoryNodes", value));
                continue;
            }
            _ => continue,
        };
        properties.extend(number.map(|number| unsigned(simple, number)));
    }
}

/// The rules for devices. Where systemd's list of what is allowed can't say them, it is told that it
/// restricts nothing: the cgroup does by itself.
///
/// `drivers`: `/proc/devices`, by whose names systemd knows the devices of a major number.
///
/// # Errors
/// `InvalidArgument` for a rule that there isn't.
pub(super) fn of_devices(rules: &[DeviceRule], drivers: &str) -> Result<Vec<Property>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let (policy, allowed) = match allowed(&devices::rules(rules)?) {
        Some(allowed) => ("strict", allowed),
        None => ("auto", Vec::new()),
    };
    let mut entries: Vec<Value> = Vec::new();
    for (devices, access) in &allowed {
        for name in names(devices, drivers) {
            entries.push(Value::Struct(vec![Value::Text(name), Value::Text(access.letters())]));
        }
    }
    Ok(vec![
        ("DevicePolicy".to_owned(), Value::text(policy)),
        // An empty list first: a list adds to what was there.
        ("DeviceAllow".to_owned(), Value::Array("(ss)".to_owned(), Vec::new())),
        ("DeviceAllow".to_owned(), Value::Array("(ss)".to_owned(), entries)),
    ])
}

/// What rules allow, where that can be said without what they deny.
fn allowed(rules: &[devices::Rule]) -> Option<Vec<(Devices, Access)>> {
    let mut allowed: Vec<(Devices, Access)> = Vec::new();
    for rule in rules {
        let all = rule.devices == Devices::ALL && rule.access == Access::ALL;
        match (rule.allow, all) {
            (false, true) => allowed.clear(),
            (true, _) => allowed.push((rule.devices, rule.access)),
            (false, false) => {
                let cuts = |(devices, access): &(Devices, Access)| {
                    devices.meets(&rule.devices) && access.meets(rule.access)
                };
                if allowed.iter().any(cuts) {
                    return None;
                }
            }
        }
    }
    // A minor number alone has no name.
    allowed.iter().all(|(d, _)| d.major.is_some() || d.minor.is_none()).then_some(allowed)
}

/// What systemd calls devices: nothing where no driver has their major number.
fn names(devices: &Devices, drivers: &str) -> Vec<String> {
    let kinds = match devices.kind {
        Some(kind) => vec![kind],
        None => vec![Kind::Character, Kind::Block],
    };
    let mut names = Vec::new();
    for kind in kinds {
        let word = if kind == Kind::Character { "char" } else { "block" };
        match (devices.major, devices.minor) {
            (Some(major), Some(minor)) => names.push(format!("/dev/{word}/{major}:{minor}")),
            (Some(major), None) => {
                names.extend(
                    driver_names(kind, major, drivers).map(|name| format!("{word}-{name}")),
                );
            }
            (None, _) => names.push(format!("{word}-*")),
        }
    }
    names
}

/// The drivers of a major number in `/proc/devices`.
fn driver_names(kind: Kind, major: u32, drivers: &str) -> impl Iterator<Item = &str> {
    let heading = if kind == Kind::Character { "Character devices:" } else { "Block devices:" };
    drivers
        .lines()
        .skip_while(move |line| *line != heading)
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(move |line| {
            let (number, name) = line.trim().split_once(' ')?;
            (number.parse() == Ok(major)).then_some(name.trim())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn resources(json: Json) -> Resources {
        serde_json::from_value(json).unwrap()
    }

    fn numbers(json: Json, only_v2: bool) -> Vec<(String, u64)> {
        let resources = resources(json);
        let pids = resources.pids.as_ref().and_then(|pids| pids.limit);
        let properties = of(&resources, pids, only_v2).unwrap();
        properties
            .into_iter()
            .filter_map(|(name, value)| match value {
                Value::U64(number) => Some((name, number)),
                _ => None,
            })
            .collect()
    }

    fn named(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn limits_have_the_names_of_their_version() {
        let limits = json!({
            "memory": { "limit": 1000, "swap": 1500, "reservation": 500 },
            "cpu": { "shares": 1024, "quota": 5000, "period": 50_000 },
            "pids": { "limit": 7 },
            "blockIO": { "weight": 10 },
        });
        assert_eq!(
            numbers(limits.clone(), true),
            named(&[
                ("MemoryMax", 1000),
                ("MemoryLow", 500),
                ("MemorySwapMax", 500),
                ("CPUWeight", 100),
                ("CPUQuotaPeriodUSec", 50_000),
                ("CPUQuotaPerSecUSec", 100_000),
                ("TasksMax", 7),
                ("IOWeight", 1),
            ])
        );
        assert_eq!(
            numbers(limits, false),
            named(&[
                ("MemoryLimit", 1000),
                ("CPUShares", 1024),
                ("CPUQuotaPeriodUSec", 50_000),
                ("CPUQuotaPerSecUSec", 100_000),
                ("TasksMax", 7),
                ("BlockIOWeight", 10),
            ])
        );
    }

    #[test]
    fn no_limit_is_infinity_and_no_processes_are_one() {
        let limits = json!({
            "memory": { "limit": -1, "swap": -1 },
            "cpu": { "quota": -1 },
            "pids": { "limit": 0 },
        });
        assert_eq!(
            numbers(limits, true),
            named(&[
                ("MemoryMax", u64::MAX),
                ("MemorySwapMax", u64::MAX),
                ("CPUQuotaPerSecUSec", u64::MAX),
                ("TasksMax", 1),
            ])
        );
    }

    #[test]
    fn a_quota_is_rounded_up_to_what_systemd_counts_in() {
        let limits = json!({ "cpu": { "quota": 1001, "period": 100_000 } });
        assert!(numbers(limits, true).contains(&("CPUQuotaPerSecUSec".to_owned(), 20_000)));
    }

    #[test]
    fn files_of_v2_have_properties_too() {
        let limits = json!({ "unified": {
            "cpu.max": "max 50000", "memory.high": "max", "pids.max": "12", "io.max": "8:0 rbps=1",
        }});
        assert_eq!(
            numbers(limits, true),
            named(&[
                ("CPUQuotaPeriodUSec", 50_000),
                ("CPUQuotaPerSecUSec", u64::MAX),
                ("MemoryHigh", u64::MAX),
                ("TasksMax", 12),
            ])
        );
    }

    #[test]
    fn cpus_are_a_mask() {
        let (_, mask) = cpus("AllowedCPUs", "0-2,9").unwrap();
        assert_eq!(mask, Value::Array("y".to_owned(), vec![Value::Byte(7), Value::Byte(2)]));
        assert!(cpus("AllowedCPUs", "x").is_none());
    }

    const DRIVERS: &str = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 ttyprintk\n136 pts\n\nBlock devices:\n  8 sd\n";

    fn device_entries(rules: Json) -> (String, Vec<(String, String)>) {
        let rules: Vec<DeviceRule> = serde_json::from_value(rules).unwrap();
        let properties = of_devices(&rules, DRIVERS).unwrap();
        let Value::Array(_, entries) = &properties[2].1 else { panic!() };
        let entries = entries.iter().map(|entry| {
            let Value::Struct(pair) = entry else { panic!() };
            let text = |at: usize| pair[at].as_text().unwrap().to_owned();
            (text(0), text(1))
        });
        (properties[0].1.as_text().unwrap().to_owned(), entries.collect())
    }

    #[test]
    fn devices_are_allowed_by_systemds_names() {
        let (policy, entries) = device_entries(json!([
            { "allow": true },
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "access": "m" },
            { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" },
            { "allow": true, "type": "c", "major": 136, "access": "rw" },
            { "allow": true, "type": "b", "major": 77, "access": "rw" },
        ]));
        assert_eq!(policy, "strict");
        let entry = |name: &str, access: &str| (name.to_owned(), access.to_owned());
        assert_eq!(
            entries,
            [entry("char-*", "m"), entry("/dev/char/1:3", "rwm"), entry("char-pts", "rw")]
        );
    }

    #[test]
    fn rules_that_a_list_cannot_say_are_left_to_the_cgroup() {
        let cut = json!([
            { "allow": true, "type": "c", "access": "rwm" },
            { "allow": false, "type": "c", "major": 1, "minor": 3, "access": "r" },
        ]);
        assert_eq!(device_entries(cut), ("auto".to_owned(), vec![]));
        let minor = json!([{ "allow": true, "type": "c", "minor": 3, "access": "r" }]);
        assert_eq!(device_entries(minor).0, "auto");
    }
}
