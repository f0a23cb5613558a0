//! The compiler of seccomp profiles. Bytes that are a profile as JSON are compiled or refused. Any
//! others choose the rules of a profile, whose program must answer as a plain reading of the rules
//! does, and as libseccomp's program where that is installed.
#![no_main]

use std::cell::RefCell;
use std::path::PathBuf;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use minictr_core::seccomp::{Program, compile};
use minictr_core::spec::{Seccomp, SeccompArg, SeccompRule};
use minictr_testkit::Feature;
use minictr_testkit::seccomp::{CALLS, Instruction, Oracle, OracleRule, X86_64, simulate};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const LOG: u32 = 0x7ffc_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

/// Actions that differ from the default one, with their values.
const ACTIONS: &[(&str, u32)] = &[
    ("SCMP_ACT_ALLOW", ALLOW),
    ("SCMP_ACT_LOG", LOG),
    ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
    ("SCMP_ACT_TRAP", 0x0003_0000),
];

/// In the order of libseccomp's `enum scmp_compare`, from 1.
const OPERATORS: &[&str] = &["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

thread_local! {
    static ORACLE: RefCell<Option<Oracle>> = RefCell::new(oracle());
}

fn oracle() -> Option<Oracle> {
    // `scripts/fuzz.mjs` makes the folder, and takes it away.
    let folder = PathBuf::from(std::env::var_os("MINICTR_FUZZ_SCRATCH")?);
    Feature::Libseccomp.present().then(|| Oracle::start(&folder))
}

fn instructions(program: &Program) -> Vec<Instruction> {
    program.instructions().iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect()
}

/// A value near those at which comparisons of halves go wrong.
fn value(bytes: &mut Unstructured<'_>) -> Result<u64> {
    let base = *bytes.choose(&[0, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX])?;
    if bytes.ratio(1, 8)? {
        return bytes.arbitrary();
    }
    Ok(base.wrapping_add(bytes.int_in_range(0..=4)?).wrapping_sub(2))
}

/// One rule in both forms: each call has one action, so that the order of rules says nothing.
fn rule(bytes: &mut Unstructured<'_>) -> Result<(SeccompRule, OracleRule)> {
    let at = bytes.choose_index(CALLS.len())?;
    let (name, number) = CALLS[at];
    let (action, returned) = ACTIONS[at % ACTIONS.len()];
    let (mut args, mut conditions) = (Vec::new(), Vec::new());
    for index in 0..6 {
        if !bytes.ratio(1, 4)? {
            continue;
        }
        let op = bytes.choose_index(OPERATORS.len())?;
        let (first, second) = (value(bytes)?, value(bytes)?);
        let word = format!("SCMP_CMP_{}", OPERATORS[op]);
        args.push(SeccompArg { index, value: first, value_two: second, op: word });
        conditions.push((index, op as u32 + 1, first, second));
    }
    let rule = SeccompRule {
        names: vec![name.to_owned()],
        action: action.to_owned(),
        errno_ret: None,
        args,
    };
    Ok((rule, (number, returned, conditions)))
}

fn holds((index, op, first, second): (u32, u32, u64, u64), args: [u64; 6]) -> bool {
    let actual = args[index as usize];
    match op {
        1 => actual != first,
        2 => actual < first,
        3 => actual <= first,
        4 => actual == first,
        5 => actual >= first,
        6 => actual > first,
        _ => actual & first == second & first,
    }
}

/// What the rules say, read one after the other.
fn read_plainly(rules: &[OracleRule], number: u32, args: [u64; 6]) -> u32 {
    let fits = |(of, _, conditions): &&OracleRule| {
        *of == number && conditions.iter().all(|condition| holds(*condition, args))
    };
    rules.iter().find(fits).map_or(ERRNO | 1, |(_, action, _)| *action)
}

fn check(bytes: &mut Unstructured<'_>) -> Result<()> {
    let (mut syscalls, mut rules) = (Vec::new(), Vec::new());
    for _ in 0..bytes.int_in_range(1..=16)? {
        let (ours, theirs) = rule(bytes)?;
        syscalls.push(ours);
        rules.push(theirs);
    }
    let profile =
        Seccomp { default_action: "SCMP_ACT_ERRNO".into(), syscalls, ..Seccomp::default() };
    let ours = instructions(&compile(&profile).expect("a profile of known words"));
    // libseccomp 2.5 merges several rules of one call into a tree that answers wrongly where they
    // compare the same argument: there the plain reading alone decides.
    let alone = rules
        .iter()
        .enumerate()
        .all(|(at, rule)| rules[..at].iter().all(|earlier| earlier.0 != rule.0));
    let theirs = ORACLE.with_borrow_mut(|oracle| match oracle {
        Some(oracle) if alone => oracle.compile(ERRNO | 1, &rules),
        _ => None,
    });
    // Calls newer than the profile answer ENOSYS, which only ours does.
    let newest = rules.iter().map(|(number, ..)| *number).max().unwrap_or(0);
    let known = CALLS.iter().map(|(_, number)| *number).chain([4, 40, 58, 300]);
    for number in known.filter(|number| *number <= newest) {
        for _ in 0..8 {
            let mut args = [0; 6];
            for (index, arg) in args.iter_mut().enumerate() {
                // As often as not an operand of a rule, where a comparison turns.
                let conditions = rules.iter().flat_map(|(.., conditions)| conditions);
                let operands: Vec<u64> = conditions
                    .filter(|condition| condition.0 as usize == index)
                    .flat_map(|condition| [condition.2, condition.3])
                    .collect();
                *arg = match operands.is_empty() || bytes.ratio(1, 2)? {
                    true => value(bytes)?,
                    false => bytes.choose(&operands)?.wrapping_add(bytes.int_in_range(0..=2)?),
                };
            }
            let answer = simulate(&ours, X86_64, number, args);
            assert_eq!(
                answer,
                read_plainly(&rules, number, args),
                "call {number} {args:x?}: ours and the rules {rules:x?}"
            );
            if let Some(theirs) = &theirs {
                let expected = simulate(theirs, X86_64, number, args);
                assert_eq!(
                    answer, expected,
                    "call {number} {args:x?}: ours and libseccomp's of {rules:x?}"
                );
            }
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    match serde_json::from_slice::<Seccomp>(bytes) {
        Ok(profile) => {
            if let Ok(program) = compile(&profile) {
                // Every path of it ends: jumps lead forward, and to an answer.
                for number in [0, 59, 0x4000_0000, u32::MAX] {
                    let _ = simulate(&instructions(&program), X86_64, number, [u64::MAX; 6]);
                }
            }
        }
        // Too few bytes for a whole profile choose none.
        Err(_) => drop(check(&mut Unstructured::new(bytes))),
    }
});
