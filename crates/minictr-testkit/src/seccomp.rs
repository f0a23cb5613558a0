//! System call filters in tests: running a program as the kernel would, and what libseccomp makes of
//! the same rules.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One BPF instruction, as (code, jt, jf, k).
pub type Instruction = (u16, u8, u8, u32);

/// `AUDIT_ARCH_X86_64`.
pub const X86_64: u32 = 0xc000_003e;

/// Calls of x86-64 for rules of tests, with their numbers, sparse and dense.
pub const CALLS: &[(&str, u32)] = &[
    ("read", 0),
    ("write", 1),
    ("open", 2),
    ("close", 3),
    ("mmap", 9),
    ("ioctl", 16),
    ("socket", 41),
    ("clone", 56),
    ("fcntl", 72),
    ("personality", 135),
    ("prctl", 157),
    ("openat", 257),
    ("prlimit64", 302),
    ("memfd_create", 319),
    ("statx", 332),
];

/// Runs a program over one system call, as the kernel would.
///
/// # Panics
/// At an instruction that no filter of ours or of libseccomp's has.
#[must_use]
pub fn simulate(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::with_capacity(64);
    data.extend(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(0u64.to_le_bytes());
    for arg in args {
        data.extend(arg.to_le_bytes());
    }
    let (mut at, mut a) = (0usize, 0u32);
    loop {
        let (code, jt, jf, k) = program[at];
        at += 1;
        let taken = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                let k = k as usize;
                let word = data[k..k + 4].try_into().expect("four bytes");
                a = u32::from_le_bytes(word);
            }
            0x54 => a &= k,
            0x05 => at += k as usize,
            0x15 => at += taken(a == k),
            0x25 => at += taken(a > k),
            0x35 => at += taken(a >= k),
            0x45 => at += taken(a & k != 0),
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

/// A condition on an argument, in libseccomp's numbers: index, `enum scmp_compare`, the operands.
pub type OracleCondition = (u32, u32, u64, u64);

/// A rule: a call's number, the action's value, conditions that must all hold.
pub type OracleRule = (u32, u32, Vec<OracleCondition>);

/// libseccomp, in a process of its own that answers profile after profile.
#[derive(Debug)]
pub struct Oracle {
    process: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Oracle {
    /// Compiles the oracle into `folder` and starts it. It needs a C compiler and libseccomp's header,
    /// [`Feature::Libseccomp`](crate::Feature::Libseccomp).
    ///
    /// # Panics
    /// Where it can't be compiled or started.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let source = folder.join("oracle.c");
        std::fs::write(&source, include_str!("../seccomp_oracle.c")).expect("the oracle's source");
        let program = folder.join("oracle");
        let compiled = Command::new("cc")
            .args(["-O1", "-o"])
            .args([&program, &source])
            .arg("-lseccomp")
            .output()
            .expect("a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let mut process = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        let input = process.stdin.take();
        let output = process.stdout.take().expect("it is a pipe");
        Self { process, input, output }
    }

    /// libseccomp's program for these rules; `None` where it refuses them.
    ///
    /// # Panics
    /// Where the oracle has ended.
    pub fn compile(&mut self, default: u32, rules: &[OracleRule]) -> Option<Vec<Instruction>> {
        let mut text = format!("default {default}\n");
        for (number, action, conditions) in rules {
            text += &format!("rule {number} {action} {}", conditions.len());
            for (index, op, a, b) in conditions {
                text += &format!(" {index} {op} {a} {b}");
            }
            text += "\n";
        }
        text += "end\n";
        let input = self.input.as_mut().expect("it is open until the drop");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("the oracle listens");
        let mut length = [0; 4];
        self.output.read_exact(&mut length).expect("the oracle answers");
        let mut program = vec![0; u32::from_ne_bytes(length) as usize];
        self.output.read_exact(&mut program).expect("the oracle answers");
        if program.is_empty() {
            return None;
        }
        let instruction = |bytes: &[u8]| {
            let k = bytes[4..8].try_into().expect("four bytes");
            (u16::from_ne_bytes([bytes[0], bytes[1]]), bytes[2], bytes[3], u32::from_ne_bytes(k))
        };
        Some(program.chunks_exact(8).map(instruction).collect())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.process.wait();
    }
}
