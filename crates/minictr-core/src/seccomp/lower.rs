//! From the words of a profile to numbers: what each system call of each architecture answers.

use std::collections::BTreeMap;

use super::numbers;
use crate::error::{Error, ErrorCode, Result};
use crate::spec::{Seccomp, SeccompArg, SeccompRule};

/// An architecture that filters are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

impl Arch {
    const ALL: [Self; 5] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm];

    /// Its column in the table of numbers.
    fn column(self) -> usize {
        Self::ALL.iter().position(|arch| *arch == self).unwrap_or(0)
    }

    /// `AUDIT_ARCH_…`; x32 shares x86_64's and is told by a bit of the number.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether its arguments are 32 bits: their upper words say nothing.
    pub(super) fn narrow(self) -> bool {
        matches!(self, Self::X86 | Self::X32 | Self::Arm)
    }

    #[cfg(target_arch = "x86_64")]
    const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    const NATIVE: Self = Self::Aarch64;
}

/// Names of architectures that this CPU can't raise: accepted, no code.
const FOREIGN: &[&str] = &[
    "LOONGARCH64",
    "M68K",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PARISC",
    "PARISC64",
    "PPC",
    "PPC64",
    "PPC64LE",
    "RISCV64",
    "S390",
    "S390X",
    "SH",
    "SHEB",
];

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    MaskedEqual,
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) operator: Operator,
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// What a call answers: the first alternative whose conditions all hold, else `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) alternatives: Vec<(Vec<Condition>, u32)>,
    pub(super) otherwise: u32,
}

/// The answers of one architecture.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) arch: Arch,
    pub(super) answers: BTreeMap<u32, Answer>,
    /// Calls above this number are newer than the profile: they answer ENOSYS, so that programs
    /// fall back as on an older kernel, instead of failing by the default action.
    pub(super) newest: Option<u32>,
}

/// A profile in numbers.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) tables: Vec<Table>,
    pub(super) default: u32,
    pub(super) flags: u32,
    pub(super) unknown: Vec<String>,
}

/// `SECCOMP_RET_…` values, `seccomp(2)`.
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;
const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const TRACE: u32 = 0x7ff0_0000;
pub(super) const NOTIFY: u32 = 0x7fc0_0000;
/// The largest errno, `MAX_ERRNO` of the kernel: it takes more for that one.
const MAX_ERRNO: u32 = 4095;

/// `SCMP_ACT_…` and what the kernel is told.
pub(super) const ACTIONS: &[(&str, u32)] = &[
    ("SCMP_ACT_ALLOW", ALLOW),
    ("SCMP_ACT_ERRNO", 0x0005_0000),
    ("SCMP_ACT_KILL", 0),
    ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
    ("SCMP_ACT_KILL_THREAD", 0),
    ("SCMP_ACT_LOG", LOG),
    ("SCMP_ACT_NOTIFY", NOTIFY),
    ("SCMP_ACT_TRACE", TRACE),
    ("SCMP_ACT_TRAP", 0x0003_0000),
];

/// `SCMP_CMP_…`.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("SCMP_CMP_EQ", Operator::Equal),
    ("SCMP_CMP_GE", Operator::GreaterOrEqual),
    ("SCMP_CMP_GT", Operator::Greater),
    ("SCMP_CMP_LE", Operator::LessOrEqual),
    ("SCMP_CMP_LT", Operator::Less),
    ("SCMP_CMP_MASKED_EQ", Operator::MaskedEqual),
    ("SCMP_CMP_NE", Operator::NotEqual),
];

/// `SECCOMP_FILTER_FLAG_…`, `seccomp(2)`.
pub(super) const FLAGS: &[(&str, u32)] = &[
    ("SECCOMP_FILTER_FLAG_LOG", 1 << 1),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 1 << 2),
    ("SECCOMP_FILTER_FLAG_TSYNC", 1),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5),
];

/// `SCMP_ARCH_…` that give code.
pub(super) const ARCHITECTURES: &[(&str, Arch)] = &[
    ("SCMP_ARCH_AARCH64", Arch::Aarch64),
    ("SCMP_ARCH_ARM", Arch::Arm),
    ("SCMP_ARCH_X32", Arch::X32),
    ("SCMP_ARCH_X86", Arch::X86),
    ("SCMP_ARCH_X86_64", Arch::X86_64),
];

/// The meaning of a word of a profile.
fn known<T: Copy>(table: &[(&str, T)], what: &str, name: &str) -> Result<T> {
    table.iter().find(|(word, _)| *word == name).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
        let object = format!("unknown {what} `{name}`");
        Error::new(ErrorCode::Seccomp, "compile seccomp profile:", object)
            .hint(format!("it is one of {}", words.join(", ")))
    })
}

/// The return value of an action.
fn action(name: &str, errno: Option<u32>) -> Result<u32> {
    let value = known(ACTIONS, "action", name)?;
    // What the kernel returns at most, and what fits beside the action, `seccomp(2)`.
    let most = match name {
        "SCMP_ACT_ERRNO" => MAX_ERRNO,
        "SCMP_ACT_TRACE" => u32::from(u16::MAX),
        _ => 0,
    };
    match errno {
        Some(errno) if most == 0 => Err(Error::new(
            ErrorCode::Seccomp,
            "compile seccomp profile:",
            format!("action `{name}` with errno {errno}"),
        )
        .hint("only SCMP_ACT_ERRNO and SCMP_ACT_TRACE carry one")),
        Some(errno) if errno > most => Err(Error::new(
            ErrorCode::Seccomp,
            "compile seccomp profile:",
            format!("action `{name}` with errnoRet {errno}: it is over {most}"),
        )),
        Some(errno) => Ok(value | errno),
        None if most > 0 => Ok(value | libc::EPERM as u32),
        None => Ok(value),
    }
}

fn condition(arg: &SeccompArg) -> Result<Condition> {
    let operator = known(OPERATORS, "operator", &arg.op)?;
    if arg.index > 5 {
        return Err(Error::new(
            ErrorCode::Seccomp,
            "compile seccomp profile:",
            format!("argument {}", arg.index),
        )
        .hint("system calls have arguments 0 to 5"));
    }
    let (mask, value) = match operator {
        Operator::MaskedEqual => (arg.value, arg.value_two & arg.value),
        _ => (u64::MAX, arg.value),
    };
    Ok(Condition { index: arg.index, operator, mask, value })
}

/// The conditions of a rule, as alternatives: conditions on one and the same argument are
/// alternatives of each other, which is how runc has always read them.
fn alternatives(args: &[SeccompArg]) -> Result<Vec<Vec<Condition>>> {
    let conditions = args.iter().map(condition).collect::<Result<Vec<_>>>()?;
    let repeated = conditions.iter().enumerate().any(|(at, condition)| {
        conditions[..at].iter().any(|earlier| earlier.index == condition.index)
    });
    Ok(if repeated {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    })
}

fn flags(names: &[String]) -> Result<u32> {
    names.iter().try_fold(0, |flags, name| Ok(flags | known(FLAGS, "flag", name)?))
}

fn architectures(names: &[String]) -> Result<Vec<Arch>> {
    let mut archs = vec![Arch::NATIVE];
    for name in names {
        let short = name.strip_prefix("SCMP_ARCH_").unwrap_or(name);
        if short == "NATIVE" || FOREIGN.contains(&short) {
            continue;
        }
        let arch = known(ARCHITECTURES, "architecture", &format!("SCMP_ARCH_{short}"))?;
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    Ok(archs)
}

/// Calls that x86 also makes through one number, by what their first argument is then.
const SOCKETCALL: &[&str] = &[
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
const IPC: &[(&str, u64)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The number that x86 makes a call through, and the first argument that means it.
fn multiplexed(name: &str) -> Option<(u32, u64)> {
    const SOCKETCALL_NUMBER: u32 = 102;
    const IPC_NUMBER: u32 = 117;
    if let Some(at) = SOCKETCALL.iter().position(|known| *known == name) {
        return Some((SOCKETCALL_NUMBER, at as u64 + 1));
    }
    IPC.iter().find(|(known, _)| *known == name).map(|(_, call)| (IPC_NUMBER, *call))
}

/// Lowers a profile. `first` are rules that come before all of the profile's.
pub(super) fn lower(profile: &Seccomp, first: &[SeccompRule]) -> Result<Lowered> {
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    let mut tables = Vec::new();
    let mut unknown = Vec::new();
    for arch in architectures(&profile.architectures)? {
        tables.push(table(arch, profile, first, default, &mut unknown)?);
    }
    unknown.sort();
    unknown.dedup();
    Ok(Lowered { tables, default, flags: flags(&profile.flags)?, unknown })
}

fn table(
    arch: Arch,
    profile: &Seccomp,
    first: &[SeccompRule],
    default: u32,
    unknown: &mut Vec<String>,
) -> Result<Table> {
    let mut answers: BTreeMap<u32, Answer> = BTreeMap::new();
    let mut newest = None;
    let answer = |answers: &mut BTreeMap<u32, Answer>, number| {
        answers.entry(number).or_insert(Answer { alternatives: Vec::new(), otherwise: default });
    };
    for rule in &profile.syscalls {
        if rule.names.is_empty() {
            return Err(Error::new(
                ErrorCode::Seccomp,
                "compile seccomp profile:",
                "a rule without names",
            ));
        }
        let value = action(&rule.action, rule.errno_ret)?;
        let conditions = alternatives(&rule.args)?;
        for name in &rule.names {
            if arch == Arch::X86
                && rule.args.is_empty()
                && let Some((number, call)) = multiplexed(name)
            {
                let only =
                    Condition { index: 0, operator: Operator::Equal, mask: u64::MAX, value: call };
                answer(&mut answers, number);
                add(&mut answers, number, vec![only], value, default);
            }
            let number = match numbers::number(name, arch.column()) {
                Ok(Some(number)) => number,
                Ok(None) => continue,
                Err(()) => {
                    unknown.push(name.clone());
                    continue;
                }
            };
            newest = newest.max(Some(number));
            // What already answers like the default needs no rule of its own; libseccomp refuses it.
            answer(&mut answers, number);
            for alternative in &conditions {
                add(&mut answers, number, alternative.clone(), value, default);
            }
        }
    }
    for rule in first {
        let value = action(&rule.action, rule.errno_ret)?;
        // All conditions of such a rule must hold together.
        let conditions = rule.args.iter().map(condition).collect::<Result<Vec<_>>>()?;
        for name in &rule.names {
            if let Ok(Some(number)) = numbers::number(name, arch.column()) {
                answer(&mut answers, number);
                if let Some(answer) = answers.get_mut(&number) {
                    answer.alternatives.insert(0, (conditions.clone(), value));
                }
            }
        }
    }
    // An answer of 0 is a kill, of the classes above it none is ENOSYS's like.
    let passes = matches!(default & 0xffff_0000, ALLOW | LOG | TRACE | NOTIFY);
    Ok(Table { arch, answers, newest: if passes { None } else { newest } })
}

/// Adds a rule to a call's answer. A rule without conditions is the whole answer, whatever came
/// before or comes after with conditions: libseccomp's reading.
fn add(
    answers: &mut BTreeMap<u32, Answer>,
    number: u32,
    conditions: Vec<Condition>,
    value: u32,
    default: u32,
) {
    let Some(answer) = answers.get_mut(&number) else { return };
    let settled = answer.alternatives.is_empty() && answer.otherwise != default;
    if settled || value == default {
        return;
    }
    if conditions.is_empty() {
        answer.alternatives.clear();
        answer.otherwise = value;
    } else {
        answer.alternatives.push((conditions, value));
    }
}
