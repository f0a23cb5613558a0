//! From answers to instructions. `bpf(4)`, `seccomp(2)`.
//!
//! Jumps go forward only, so a program is written from its end: what a jump leads to is there
//! already, and parts that end alike share their end. That matters because the kernel translates
//! the whole program for every container: shared, the default one is half as long.

use super::lower::{Answer, Arch, Condition, ENOSYS, KILL_PROCESS, Lowered, Operator, Table};

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

/// A place in the program: how many instructions there are from it to the end.
type Label = usize;

/// Farthest that a conditional jump is let reach of the 255 instructions that it can: there is room
/// for a longer jump of its sibling between.
const REACH: usize = 254;

/// A program that grows from its end to its beginning.
#[derive(Default)]
struct Writer {
    /// The last instruction first.
    code: Vec<libc::sock_filter>,
    /// Where answers begin that have been written, and whether for narrow arguments.
    answers: Vec<(Answer, bool, Label)>,
}

impl Writer {
    fn push(&mut self, instruction: libc::sock_filter) -> Label {
        self.code.push(instruction);
        self.code.len()
    }

    /// Instructions between the next one written and a place.
    fn distance(&self, to: Label) -> usize {
        self.code.len() - to
    }

    /// An instruction with `then` after it.
    fn lead(&mut self, instruction: libc::sock_filter, then: Label) -> Label {
        let distance = self.distance(then);
        if distance > 0 {
            self.push(op(JUMP, distance as u32));
        }
        self.push(instruction)
    }

    /// A place within reach of a conditional jump that leads to `to`.
    fn near(&mut self, to: Label) -> Label {
        match self.distance(to) {
            0..=REACH => to,
            far => self.push(op(JUMP, far as u32)),
        }
    }

    /// `test k`: where it holds, `yes`, else `no`.
    fn branch(&mut self, test: u16, k: u32, yes: Label, no: Label) -> Label {
        let no = self.near(no);
        let yes = self.near(yes);
        self.push(jump(test, k, self.distance(yes) as u8, self.distance(no) as u8))
    }

    /// An answer that depends on nothing more.
    fn plain(&mut self, value: u32) -> Label {
        self.answer(&Answer { alternatives: Vec::new(), otherwise: value }, false)
    }

    fn answer(&mut self, answer: &Answer, narrow: bool) -> Label {
        let plain = answer.alternatives.is_empty();
        let narrow = narrow && !plain;
        let known = self.answers.iter().position(|(other, n, _)| other == answer && *n == narrow);
        if let Some(at) = known {
            let label = self.answers[at].2;
            // Nearer is as short as a jump to it, and one step less to run.
            if !plain || self.distance(label) <= REACH {
                return label;
            }
        }
        let mut label = if plain {
            self.push(op(RETURN, answer.otherwise))
        } else {
            self.plain(answer.otherwise)
        };
        for (conditions, value) in answer.alternatives.iter().rev() {
            let fail = label;
            label = self.plain(*value);
            for condition in conditions.iter().rev() {
                label = self.test(condition, narrow, label, fail);
            }
        }
        match known {
            Some(at) => self.answers[at].2 = label,
            None => self.answers.push((answer.clone(), narrow, label)),
        }
        label
    }

    /// `yes` where the condition holds, else `no`.
    fn test(&mut self, condition: &Condition, narrow: bool, yes: Label, no: Label) -> Label {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
        let offset = ARGS + 8 * condition.index;
        let low = condition.value as u32;
        let high = (condition.value >> 32) as u32;
        let masked = condition.operator == MaskedEqual;

        // The lower word decides, where the upper one is equal or says nothing.
        let mut lower = match condition.operator {
            Equal | MaskedEqual => self.branch(JUMP_EQUAL, low, yes, no),
            NotEqual => self.branch(JUMP_EQUAL, low, no, yes),
            Greater => self.branch(JUMP_GREATER, low, yes, no),
            GreaterOrEqual => self.branch(JUMP_GREATER_OR_EQUAL, low, yes, no),
            Less => self.branch(JUMP_GREATER_OR_EQUAL, low, no, yes),
            LessOrEqual => self.branch(JUMP_GREATER, low, no, yes),
        };
        if masked {
            lower = self.lead(op(AND, condition.mask as u32), lower);
        }
        lower = self.lead(op(LOAD, offset), lower);
        if narrow {
            return lower;
        }
        let mut upper = match condition.operator {
            Equal | MaskedEqual => self.branch(JUMP_EQUAL, high, lower, no),
            NotEqual => self.branch(JUMP_EQUAL, high, lower, yes),
            Greater | GreaterOrEqual => {
                let equal = self.branch(JUMP_EQUAL, high, lower, no);
                self.branch(JUMP_GREATER, high, yes, equal)
            }
            Less | LessOrEqual => {
                let equal = self.branch(JUMP_EQUAL, high, lower, yes);
                self.branch(JUMP_GREATER, high, no, equal)
            }
        };
        if masked {
            upper = self.lead(op(AND, (condition.mask >> 32) as u32), upper);
        }
        self.lead(op(LOAD, offset + 4), upper)
    }

    /// A balanced search for the range of the loaded number.
    fn search(&mut self, ranges: &[Range], narrow: bool) -> Label {
        match ranges {
            // There is always the range that begins at 0.
            [] => self.plain(KILL_PROCESS),
            [only] => self.answer(&only.answer, narrow),
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let from = high[0].from;
                let high = self.search(high, narrow);
                let low = self.search(low, narrow);
                self.branch(JUMP_GREATER_OR_EQUAL, from, high, low)
            }
        }
    }

    fn architecture(&mut self, table: &Table, x32: Option<&Table>, default: u32) -> Label {
        let mut label = self.search(&ranges(table, default), table.arch.narrow());
        if table.arch == Arch::X86_64 {
            let other = match x32 {
                Some(x32) => self.search(&shifted(ranges(x32, default)), true),
                None => self.plain(KILL_PROCESS),
            };
            label = self.branch(JUMP_GREATER_OR_EQUAL, X32_BIT, other, label);
        }
        self.lead(op(LOAD, NUMBER), label)
    }
}

/// Whether a program can end with an answer.
pub(super) fn returns(program: &[libc::sock_filter], answer: u32) -> bool {
    program.iter().any(|instruction| instruction.code == RETURN && instruction.k == answer)
}

/// The whole program.
pub(super) fn program(lowered: &Lowered) -> Vec<libc::sock_filter> {
    let mut writer = Writer::default();
    let x32 = lowered.tables.iter().find(|other| other.arch == Arch::X32);
    let own = lowered.tables.iter().rev().filter(|table| table.arch != Arch::X32);
    let bodies: Vec<(u32, Label)> = own
        .map(|table| {
            let x32 = x32.filter(|_| table.arch == Arch::X86_64);
            (table.arch.audit(), writer.architecture(table, x32, lowered.default))
        })
        .collect();
    // An architecture that the profile doesn't name has no system calls.
    let mut label = writer.plain(KILL_PROCESS);
    for (audit, body) in bodies {
        label = writer.branch(JUMP_EQUAL, audit, body, label);
    }
    writer.lead(op(LOAD, ARCH), label);
    writer.code.reverse();
    writer.code
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
