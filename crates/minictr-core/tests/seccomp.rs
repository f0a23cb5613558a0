//! Filters against a simulator, a plain reading of the rules, libseccomp, and the kernel.
mod support;

use minictr_core::capabilities::CapabilitySet;
use minictr_core::seccomp::{compile, default_profile, default_program};
use minictr_core::spec::{Seccomp, SeccompArg, SeccompRule};
use minictr_testkit::seccomp::{CALLS, Instruction, Oracle, OracleRule, X86_64, simulate};
use minictr_testkit::{Feature, missing};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

fn instructions(program: &minictr_core::seccomp::Program) -> Vec<Instruction> {
    program.instructions().iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect()
}

/// A small generator: the same sequence at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Values near which comparisons go wrong.
    fn value(&mut self) -> u64 {
        let base =
            [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, u64::MAX, 1 << 63];
        let near = base[self.below(base.len() as u64) as usize];
        near.wrapping_add(self.below(3)).wrapping_sub(1)
    }
}

const OPERATORS: &[&str] = &["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

fn holds(arg: &SeccompArg, args: [u64; 6]) -> bool {
    let actual = args[arg.index as usize];
    match arg.op.trim_start_matches("SCMP_CMP_") {
        "NE" => actual != arg.value,
        "LT" => actual < arg.value,
        "LE" => actual <= arg.value,
        "EQ" => actual == arg.value,
        "GE" => actual >= arg.value,
        "GT" => actual > arg.value,
        _ => actual & arg.value == arg.value_two & arg.value,
    }
}

/// A profile in which each call has one action: the order of its rules doesn't matter then.
fn profile(random: &mut Random) -> Seccomp {
    let mut syscalls = Vec::new();
    for (name, _) in CALLS {
        if random.below(3) == 0 {
            continue;
        }
        for _ in 0..=random.below(2) {
            let mut args: Vec<SeccompArg> = Vec::new();
            for _ in 0..random.below(3) {
                let index = random.below(6) as u32;
                if args.iter().any(|arg| arg.index == index) {
                    continue;
                }
                let op = OPERATORS[random.below(7) as usize];
                args.push(SeccompArg {
                    index,
                    value: random.value(),
                    value_two: random.value(),
                    op: format!("SCMP_CMP_{op}"),
                });
            }
            syscalls.push(SeccompRule {
                names: vec![(*name).to_owned()],
                action: "SCMP_ACT_ALLOW".into(),
                errno_ret: None,
                args,
            });
        }
    }
    Seccomp { default_action: "SCMP_ACT_ERRNO".into(), syscalls, ..Seccomp::default() }
}

fn read_plainly(profile: &Seccomp, name: &str, args: [u64; 6]) -> u32 {
    let rules = profile.syscalls.iter().filter(|rule| rule.names[0] == name);
    let allowed = rules.into_iter().any(|rule| rule.args.iter().all(|arg| holds(arg, args)));
    if allowed { ALLOW } else { ERRNO | 1 }
}

/// Whether several rules of a call compare the same argument: libseccomp 2.5 merges these into a tree
/// that answers wrongly, so that only the plain reading decides.
fn is_merged_wrongly(rules: &[OracleRule], number: u32) -> bool {
    let of_call: Vec<_> = rules.iter().filter(|(of, ..)| *of == number).collect();
    of_call.iter().enumerate().any(|(at, (.., conditions))| {
        let earlier = of_call[..at].iter().flat_map(|(.., conditions)| conditions);
        earlier.into_iter().any(|(index, ..)| conditions.iter().any(|(other, ..)| other == index))
    })
}

fn newest(profile: &Seccomp) -> u32 {
    let named = |name: &str| profile.syscalls.iter().any(|rule| rule.names[0] == name);
    CALLS.iter().filter(|(name, _)| named(name)).map(|(_, number)| *number).max().unwrap_or(0)
}

#[test]
fn random_profiles_answer_as_their_rules_read() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..400 {
        let profile = profile(&mut random);
        let program = instructions(&compile(&profile).unwrap());
        for (name, number) in CALLS.iter().filter(|(_, number)| *number <= newest(&profile)) {
            for _ in 0..20 {
                let args = std::array::from_fn(|_| random.value());
                let expected = read_plainly(&profile, name, args);
                assert_eq!(
                    simulate(&program, X86_64, *number, args),
                    expected,
                    "{name} {args:x?} {profile:?}"
                );
            }
        }
    }
}

#[test]
fn random_profiles_answer_as_libseccomp_has_them() {
    if missing(Feature::Libseccomp) {
        return;
    }
    let scratch = support::Scratch::new("oracle");
    let mut oracle = Oracle::start(scratch.path());
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..60 {
        let profile = profile(&mut random);
        let operator = |op: &str| {
            let known = OPERATORS.iter().position(|known| op == format!("SCMP_CMP_{known}"));
            known.unwrap() as u32 + 1
        };
        let rules: Vec<OracleRule> = profile
            .syscalls
            .iter()
            .map(|rule| {
                let number = CALLS.iter().find(|(name, _)| *name == rule.names[0]).unwrap().1;
                let conditions = rule
                    .args
                    .iter()
                    .map(|arg| (arg.index, operator(&arg.op), arg.value, arg.value_two));
                (number, ALLOW, conditions.collect())
            })
            .collect();
        let theirs = oracle.compile(ERRNO | 1, &rules).expect("libseccomp takes them");
        let ours = instructions(&compile(&profile).unwrap());
        for number in (0..=newest(&profile)).filter(|call| !is_merged_wrongly(&rules, *call)) {
            for _ in 0..4 {
                let args = std::array::from_fn(|_| random.value());
                let (us, them) = (
                    simulate(&ours, X86_64, number, args),
                    simulate(&theirs, X86_64, number, args),
                );
                assert_eq!(us, them, "call {number} {args:x?}\n{rules:?}");
            }
        }
        // Both refuse x32's numbers and foreign architectures by killing.
        assert_eq!(simulate(&ours, X86_64, 0x4000_0001, [0; 6]), KILL_PROCESS);
        assert_eq!(simulate(&ours, 0x1234, 1, [0; 6]), KILL_PROCESS);
    }
}

fn rules(rules: &[(&str, &str)]) -> Seccomp {
    let syscalls = rules.iter().map(|(name, action)| SeccompRule {
        names: vec![(*name).to_owned()],
        action: (*action).to_owned(),
        ..SeccompRule::default()
    });
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        syscalls: syscalls.collect(),
        ..Seccomp::default()
    }
}

#[test]
fn calls_newer_than_the_profile_answer_enosys() {
    let program = instructions(
        &compile(&rules(&[("read", "SCMP_ACT_ALLOW"), ("statx", "SCMP_ACT_ALLOW")])).unwrap(),
    );
    assert_eq!(simulate(&program, X86_64, 0, [0; 6]), ALLOW);
    assert_eq!(simulate(&program, X86_64, 300, [0; 6]), ERRNO | 1);
    assert_eq!(simulate(&program, X86_64, 333, [0; 6]), ERRNO | 38);
    assert_eq!(simulate(&program, X86_64, 600, [0; 6]), ERRNO | 38);
}

#[test]
fn refuses_words_that_it_does_not_know_and_names_those_no_kernel_has() {
    for (json, what) in [
        (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "SCMP_ACT_MAYBE"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}"#,
            "SCMP_ARCH_VAX",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_FUN"]}"#,
            "SECCOMP_FILTER_FLAG_FUN",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_NEAR"}]}]}"#,
            "SCMP_CMP_NEAR",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","errnoRet":1}]}"#,
            "errno 1",
        ),
    ] {
        let profile: Seccomp = serde_json::from_str(json).unwrap();
        let error = compile(&profile).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let program =
        compile(&rules(&[("read", "SCMP_ACT_ALLOW"), ("read_minds", "SCMP_ACT_ALLOW")])).unwrap();
    assert_eq!(program.unknown_names(), ["read_minds"]);
}

#[test]
fn foreign_architectures_are_accepted_and_make_no_code() {
    let mut profile = rules(&[("read", "SCMP_ACT_ALLOW")]);
    let alone = compile(&profile).unwrap().instructions().len();
    profile.architectures = vec!["SCMP_ARCH_S390X".into(), "SCMP_ARCH_PPC64LE".into()];
    assert_eq!(compile(&profile).unwrap().instructions().len(), alone);
}

#[test]
fn refuses_a_program_longer_than_the_kernel_takes() {
    let mut profile = rules(&[]);
    for value in 0..2000 {
        let args = vec![SeccompArg { index: 0, value, value_two: 0, op: "SCMP_CMP_EQ".into() }];
        profile.syscalls.push(SeccompRule {
            names: vec!["ioctl".into()],
            action: "SCMP_ACT_ALLOW".into(),
            errno_ret: None,
            args,
        });
    }
    assert!(compile(&profile).unwrap_err().to_string().contains("4096"));
}

#[test]
fn the_default_filter_answers_what_it_says() {
    let program = instructions(&default_program(CapabilitySet::default(), false).unwrap());
    assert!(program.len() < 400, "{} instructions", program.len());
    let ask = |number: u32, args: [u64; 6]| simulate(&program, X86_64, number, args);
    assert_eq!(ask(0, [0; 6]), ALLOW, "read");
    assert_eq!(ask(165, [0; 6]), ERRNO | 1, "mount");
    assert_eq!(ask(321, [0; 6]), ERRNO | 1, "bpf");
    assert_eq!(ask(425, [0; 6]), ERRNO | 1, "io_uring_setup");
    assert_eq!(ask(250, [0; 6]), ERRNO | 1, "keyctl");
    assert_eq!(ask(435, [0; 6]), ERRNO | 38, "clone3");
    assert_eq!(ask(56, [0x11, 0, 0, 0, 0, 0]), ALLOW, "clone");
    assert_eq!(ask(56, [0x1000_0011, 0, 0, 0, 0, 0]), ERRNO | 1, "clone with CLONE_NEWUSER");
    assert_eq!(ask(16, [0, 0x5401, 0, 0, 0, 0]), ALLOW, "ioctl TCGETS");
    assert_eq!(ask(16, [0, 0x5412, 0, 0, 0, 0]), ERRNO | 1, "ioctl TIOCSTI");
    assert_eq!(ask(16, [0, 0x1_0000_5412, 0, 0, 0, 0]), ERRNO | 1, "TIOCSTI with upper bits");
    assert_eq!(ask(41, [2, 1, 0, 0, 0, 0]), ALLOW, "socket AF_INET");
    assert_eq!(ask(41, [40, 1, 0, 0, 0, 0]), ERRNO | 1, "socket AF_VSOCK");
    assert_eq!(ask(41, [16, 3, 9, 0, 0, 0]), ERRNO | 93, "NETLINK_AUDIT");
    assert_eq!(ask(41, [16, 3, 0, 0, 0, 0]), ALLOW, "NETLINK_ROUTE");
    assert_eq!(ask(135, [0xffff_ffff, 0, 0, 0, 0, 0]), ALLOW, "personality, asked for");
    assert_eq!(ask(135, [0x0004_0000, 0, 0, 0, 0, 0]), ERRNO | 1, "ADDR_NO_RANDOMIZE");
    assert_eq!(ask(9999, [0; 6]), ERRNO | 38, "a call of the future");
    let admin = CapabilitySet::from_names(&["CAP_SYS_ADMIN".into()]).unwrap();
    let program = instructions(&default_program(admin, false).unwrap());
    assert_eq!(simulate(&program, X86_64, 165, [0; 6]), ALLOW, "mount with CAP_SYS_ADMIN");
    assert_eq!(simulate(&program, X86_64, 435, [0; 6]), ALLOW, "clone3 with CAP_SYS_ADMIN");
}

#[test]
fn the_default_profile_names_only_calls_that_exist() {
    let program = compile(&default_profile(CapabilitySet::default(), false)).unwrap();
    assert_eq!(program.unknown_names(), [] as [&str; 0]);
}

#[test]
fn nesting_adds_namespaces_and_mounts_and_no_call_that_reaches_a_key() {
    let program = instructions(&default_program(CapabilitySet::default(), true).unwrap());
    let ask = |number: u32, args: [u64; 6]| simulate(&program, X86_64, number, args);
    for (number, name) in [(165, "mount"), (155, "pivot_root"), (308, "setns"), (272, "unshare")] {
        assert_eq!(ask(number, [0; 6]), ALLOW, "{name}");
    }
    assert_eq!(ask(435, [0; 6]), ALLOW, "clone3");
    assert_eq!(ask(56, [0x1000_0011, 0, 0, 0, 0, 0]), ALLOW, "clone with CLONE_NEWUSER");
    assert_eq!(ask(250, [1, 0, 0, 0, 0, 0]), ALLOW, "keyctl: join a new session keyring");
    assert_eq!(ask(250, [1, 4096, 0, 0, 0, 0]), ERRNO | 1, "keyctl: join a keyring by name");
    assert_eq!(ask(250, [11, 0, 0, 0, 0, 0]), ERRNO | 1, "keyctl: read a key");
    assert_eq!(ask(248, [0; 6]), ERRNO | 1, "add_key");
    assert_eq!(ask(321, [0; 6]), ERRNO | 1, "bpf");
    assert_eq!(ask(175, [0; 6]), ERRNO | 1, "init_module");
    assert_eq!(ask(103, [0; 6]), ERRNO | 1, "syslog");
}
