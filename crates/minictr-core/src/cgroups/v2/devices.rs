//! Which devices may be opened and made on v2: a program of the kernel's that decides each time,
//! `BPF_PROG_TYPE_CGROUP_DEVICE`, compiled from the rules.
//!
//! The program looks at the rules from the last to the first. One register holds the kinds of access
//! that no rule has decided yet: a rule that allows takes them out, one that denies ends it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::super::devices::{Access, Devices, Kind, Rule};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::sys::bpf::{self, Instruction};

// Registers: the kernel's `struct bpf_cgroup_dev_ctx` comes in 1, the answer goes out in 0.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const MATCHED: u8 = 6;

// Operations, `Documentation/bpf/standardization/instruction-set.rst`.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

// Fields of the context: kind in the low half of the first word and access in the high one.
const KIND_AND_ACCESS: i16 = 0;
const MAJOR_FIELD: i16 = 4;
const MINOR_FIELD: i16 = 8;
const ACCESS_SHIFT: i32 = 16;
const KIND_MASK: i32 = 0xffff;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
fn kind_number(kind: Kind) -> i32 {
    match kind {
        Kind::Block => 1,
        Kind::Character => 2,
    }
}

fn code(op: u8, target: u8, source: u8, offset: i16, number: i32) -> Instruction {
    Instruction::new(op, target, source, offset, number)
}

fn answer(program: &mut Vec<Instruction>, allow: bool) {
    program.push(code(MOVE_NUMBER, ANSWER, 0, 0, i32::from(allow)));
    program.push(code(EXIT, 0, 0, 0, 0));
}

/// The program for rules.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        code(LOAD_WORD, KIND, CONTEXT, KIND_AND_ACCESS, 0),
        code(MOVE, ASKED, KIND, 0, 0),
        code(AND, KIND, 0, 0, KIND_MASK),
        code(SHIFT_RIGHT, ASKED, 0, 0, ACCESS_SHIFT),
        code(LOAD_WORD, MAJOR, CONTEXT, MAJOR_FIELD, 0),
        code(LOAD_WORD, MINOR, CONTEXT, MINOR_FIELD, 0),
    ];
    for rule in rules.iter().rev() {
        let all = rule.devices == Devices::ALL && rule.access == Access::ALL;
        if all {
            answer(&mut program, rule.allow);
            return program;
        }
        compile_rule(rule, &mut program);
    }
    answer(&mut program, false);
    program
}

fn compile_rule(rule: &Rule, program: &mut Vec<Instruction>) {
    let Devices { kind, major, minor } = rule.devices;
    let tests = [
        (KIND, kind.map(kind_number)),
        // In range: they were checked to be device numbers.
        (MAJOR, major.map(|major| major as i32)),
        (MINOR, minor.map(|minor| minor as i32)),
    ];
    let mut body = Vec::new();
    if rule.allow {
        body.push(code(AND, ASKED, 0, 0, i32::from(Access::ALL.without(rule.access).bits())));
        // Something is left to decide: on to the rule before.
        body.push(code(JUMP_UNLESS_EQUAL, ASKED, 0, 2, 0));
        answer(&mut body, true);
    } else {
        body.push(code(MOVE, MATCHED, ASKED, 0, 0));
        body.push(code(AND, MATCHED, 0, 0, i32::from(rule.access.bits())));
        body.push(code(JUMP_IF_EQUAL, MATCHED, 0, 2, 0));
        answer(&mut body, false);
    }
    let wanted: Vec<(u8, i32)> =
        tests.into_iter().filter_map(|(register, number)| Some((register, number?))).collect();
    for (position, (register, number)) in wanted.iter().enumerate() {
        let past = wanted.len() - position - 1 + body.len();
        // At most six.
        program.push(code(JUMP_UNLESS_EQUAL, *register, 0, past as i16, *number));
    }
    program.extend(body);
}

/// A program in the kernel.
#[derive(Debug)]
pub(in crate::cgroups) struct Program(OwnedFd);

impl Program {
    /// Compiles and loads.
    ///
    /// # Errors
    /// `CgroupUnavailable` where this user or kernel loads no such programs, `InvalidArgument` for
    /// more rules than the kernel checks.
    pub(in crate::cgroups) fn load(rules: &[Rule]) -> Result<Self> {
        let program = compile(rules);
        bpf::load_device_program(&program).map(Self).map_err(|errno| match errno {
            Errno::E2BIG => Error::invalid(
                "restrict devices:",
                format!("{} rules are more than the kernel checks", rules.len()),
            ),
            _ => Error::new(ErrorCode::CgroupUnavailable, "restrict devices:", "load the program that decides")
                .errno(errno)
                .hint("without cgroup v1's `devices` controller it takes CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN"),
        })
    }

    /// Puts it in force for a cgroup, in the place of what was there. Programs of the cgroups above
    /// go on deciding too.
    ///
    /// # Errors
    /// `CgroupUnavailable`.
    pub(in crate::cgroups) fn attach(&self, cgroup: BorrowedFd<'_>) -> Result<()> {
        let said = |result: std::result::Result<(), Errno>| {
            result.context(
                ErrorCode::CgroupUnavailable,
                "restrict devices:",
                "attach the program that decides",
            )
        };
        let before = bpf::device_programs(cgroup).unwrap_or_default();
        if let [only] = before.as_slice()
            && bpf::replace_device_program(cgroup, self.0.as_fd(), only.as_fd()).is_ok()
        {
            return Ok(());
        }
        // Before Linux 5.6, or with several: both decide for a moment, which allows nothing more.
        said(bpf::attach_device_program(cgroup, self.0.as_fd()))?;
        before.iter().try_for_each(|old| said(bpf::detach_device_program(cgroup, old.as_fd())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::devices::{cases, decide};
    use super::*;

    /// The kernel's interpreter, as far as these programs need it.
    fn interpret(program: &[Instruction], context: [u32; 3]) -> u64 {
        let mut registers = [0u64; 11];
        let mut at = 0usize;
        loop {
            let Instruction { op, registers: pair, offset, number } = program[at];
            let (target, source) = (usize::from(pair & 0xf), usize::from(pair >> 4));
            let number = i64::from(number) as u64;
            at += 1;
            match op {
                LOAD_WORD => {
                    assert_eq!(source, usize::from(CONTEXT));
                    registers[target] = u64::from(context[offset as usize / 4]);
                }
                MOVE => registers[target] = registers[source],
                MOVE_NUMBER => registers[target] = number,
                AND => registers[target] &= number,
                SHIFT_RIGHT => registers[target] >>= number,
                JUMP_UNLESS_EQUAL if registers[target] != number => at += offset as usize,
                JUMP_IF_EQUAL if registers[target] == number => at += offset as usize,
                JUMP_UNLESS_EQUAL | JUMP_IF_EQUAL => {}
                EXIT => return registers[usize::from(ANSWER)],
                other => panic!("{other:#x}"),
            }
        }
    }

    fn ask(program: &[Instruction], device: &Devices, access: Access) -> bool {
        let kind = kind_number(device.kind.unwrap()) as u32;
        let first = kind | u32::from(access.bits()) << ACCESS_SHIFT;
        interpret(program, [first, device.major.unwrap(), device.minor.unwrap()]) == 1
    }

    #[test]
    fn the_program_decides_as_the_rules_say() {
        for rules in cases::lists() {
            let program = compile(&rules);
            for device in cases::devices() {
                for access in cases::accesses() {
                    let decided = ask(&program, &device, access);
                    let wanted = decide(&rules, &device, access);
                    assert_eq!(decided, wanted, "{rules:?}: {device:?} {access:?}");
                }
            }
        }
    }

    #[test]
    fn no_rules_deny_everything() {
        let null = Devices { kind: Some(Kind::Character), major: Some(1), minor: Some(3) };
        assert!(!ask(&compile(&[]), &null, Access::READ));
    }

    #[test]
    fn nothing_before_a_rule_for_everything_is_compiled() {
        let all = Rule { allow: true, devices: Devices::ALL, access: Access::ALL };
        let some = Rule { access: Access::READ, ..all };
        assert_eq!(compile(&[some, some, all]), compile(&[all]));
    }
}
