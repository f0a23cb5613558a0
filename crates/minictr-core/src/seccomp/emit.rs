//! From answers to instructions. `bpf(4)`, `seccomp(2)`.
//!
//! Every piece of code here ends in a return on every path and jumps forward only within itself, so
//! pieces are put together without labels.

use super::lower::{Answer, Arch, Condition, ENOSYS, KILL_PROCESS, Lowered, Operator, Table};

type Code = Vec<libc::sock_filter>;

// Classes and modes, linux/bpf_common.h.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

/// Bit that tells x32's numbers from x86_64's.
const X32_BIT: u32 = 0x4000_0000;

fn op(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// `test k`: where it holds, `yes`, else `no`; whatever their lengths.
fn branch(test: u16, k: u32, yes: Code, no: Code) -> Code {
    let mut code = Code::with_capacity(2 + yes.len() + no.len());
    match u8::try_from(no.len()) {
        Ok(distance) => code.push(jump(test, k, distance, 0)),
        Err(_) => {
            // A conditional jump reaches 255 instructions; an unconditional one any distance.
            code.push(jump(test, k, 0, 1));
            code.push(op(JUMP, no.len() as u32));
        }
    }
    code.extend(no);
    code.extend(yes);
    code
}

/// The whole program.
pub(super) fn program(lowered: &Lowered) -> Code {
    // An architecture that the profile doesn't name has no system calls.
    let mut code = vec![op(RETURN, KILL_PROCESS)];
    for table in lowered.tables.iter().rev().filter(|table| table.arch != Arch::X32) {
        let x32 = lowered.tables.iter().find(|other| other.arch == Arch::X32);
        let x32 = x32.filter(|_| table.arch == Arch::X86_64);
        code =
            branch(JUMP_EQUAL, table.arch.audit(), architecture(table, x32, lowered.default), code);
    }
    code.insert(0, op(LOAD, ARCH));
    code
}

fn architecture(table: &Table, x32: Option<&Table>, default: u32) -> Code {
    let mut code = search(&ranges(table, default), table.arch.narrow());
    if table.arch == Arch::X86_64 {
        let other = match x32 {
            Some(x32) => search(&shifted(ranges(x32, default)), true),
            None => vec![op(RETURN, KILL_PROCESS)],
        };
        code = branch(JUMP_GREATER_OR_EQUAL, X32_BIT, other, code);
    }
    code.insert(0, op(LOAD, NUMBER));
    code
}

/// The answer from a number on, up to the next range's.
#[derive(Clone)]
struct Range {
    from: u32,
    answer: Answer,
}

fn shifted(mut ranges: Vec<Range>) -> Vec<Range> {
    for range in ranges.iter_mut().skip(1) {
        range.from |= X32_BIT;
    }
    ranges
}

/// All numbers, as ranges that answer alike.
fn ranges(table: &Table, default: u32) -> Vec<Range> {
    let plain = |value| Answer { alternatives: Vec::new(), otherwise: value };
    let mut ranges: Vec<Range> = vec![Range { from: 0, answer: plain(default) }];
    let mut push = |from: u32, answer: Answer| match ranges.last_mut() {
        Some(last) if last.answer == answer => {}
        Some(last) if last.from == from => last.answer = answer,
        _ => ranges.push(Range { from, answer }),
    };
    for (number, answer) in &table.answers {
        push(*number, answer.clone());
        if !table.answers.contains_key(&(number + 1)) {
            push(number + 1, plain(default));
        }
    }
    if let Some(newest) = table.newest {
        push(newest + 1, plain(ENOSYS));
    }
    // Replacing an answer in place can have made it its neighbour's equal.
    ranges.dedup_by(|later, earlier| later.answer == earlier.answer);
    ranges
}

/// A balanced search for the range of the loaded number.
fn search(ranges: &[Range], narrow: bool) -> Code {
    match ranges {
        [] => Code::new(),
        [only] => answer(&only.answer, narrow),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            branch(JUMP_GREATER_OR_EQUAL, high[0].from, search(high, narrow), search(low, narrow))
        }
    }
}

fn answer(answer: &Answer, narrow: bool) -> Code {
    let mut code = Code::new();
    for (conditions, value) in &answer.alternatives {
        code.extend(alternative(conditions, *value, narrow));
    }
    code.push(op(RETURN, answer.otherwise));
    code
}

/// Returns `value` where all conditions hold, else goes on behind itself.
fn alternative(conditions: &[Condition], value: u32, narrow: bool) -> Code {
    // Built from its end, so that the distance to the end is known: six conditions at the most, of
    // at most seven instructions.
    let mut code = vec![op(RETURN, value)];
    for condition in conditions.iter().rev() {
        let mut piece = test(condition, code.len() as u8, narrow);
        piece.append(&mut code);
        code = piece;
    }
    code
}

/// Goes on behind itself where the condition holds, else `fail` instructions further.
fn test(condition: &Condition, fail: u8, narrow: bool) -> Code {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
    let low_offset = ARGS + 8 * condition.index;
    let low = condition.value as u32;
    let high = (condition.value >> 32) as u32;
    let mask_low = condition.mask as u32;
    let mask_high = (condition.mask >> 32) as u32;

    // The lower word decides, where the upper one is equal or says nothing.
    let mut lower = vec![op(LOAD, low_offset)];
    if condition.operator == MaskedEqual {
        lower.push(op(AND, mask_low));
    }
    lower.push(match condition.operator {
        Equal | MaskedEqual => jump(JUMP_EQUAL, low, 0, fail),
        NotEqual => jump(JUMP_EQUAL, low, fail, 0),
        Greater => jump(JUMP_GREATER, low, 0, fail),
        GreaterOrEqual => jump(JUMP_GREATER_OR_EQUAL, low, 0, fail),
        Less => jump(JUMP_GREATER_OR_EQUAL, low, fail, 0),
        LessOrEqual => jump(JUMP_GREATER, low, fail, 0),
    });
    if narrow {
        return lower;
    }
    let holds = lower.len() as u8;
    let fails = holds + fail;
    let mut code = vec![op(LOAD, low_offset + 4)];
    match condition.operator {
        Equal => code.push(jump(JUMP_EQUAL, high, 0, fails)),
        MaskedEqual => {
            code.push(op(AND, mask_high));
            code.push(jump(JUMP_EQUAL, high, 0, fails));
        }
        NotEqual => code.push(jump(JUMP_EQUAL, high, 0, holds)),
        Greater | GreaterOrEqual => {
            code.push(jump(JUMP_GREATER, high, holds + 1, 0));
            code.push(jump(JUMP_EQUAL, high, 0, fails));
        }
        Less | LessOrEqual => {
            code.push(jump(JUMP_GREATER, high, fails + 1, 0));
            code.push(jump(JUMP_EQUAL, high, 0, holds));
        }
    }
    code.extend(lower);
    code
}
