//! Arguments, and what each verb does with them.
//!
//! They are those of runc, which engines write: options may begin with one dash, a switch may be
//! given a value (`--detach=true`), and behind the first word that isn't an option nothing is one.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use minictr_core::error::{Error, Result};

use crate::global::Global;
use crate::{commands, log, protect, render, without};

/// Containers from OCI bundles: an OCI runtime, and the native part of minictr.
#[derive(Debug, Parser)]
#[command(name = "minictr-oci", disable_help_subcommand = true, disable_version_flag = true)]
// Podman gives `--leave-running` twice. To runc and crun the last of the same options counts.
#[command(args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    /// Print the version, the commit and the newest version of the runtime spec.
    #[arg(short, long)]
    version: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

// Deferred, so that the arguments of the one that is used are described, not those of all.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    #[command(hide = true)]
    Spawner,
    #[command(hide = true)]
    Foreground(commands::foreground::Arguments),
    Checkpoint(commands::checkpoint::Arguments),
    Create(commands::create::Arguments),
    Delete(commands::delete::Arguments),
    Events(commands::events::Arguments),
    Exec(commands::exec::Arguments),
    /// Print what this runtime can do, as JSON.
    Features,
    Kill(commands::kill::Arguments),
    List(commands::list::Arguments),
    /// Let all processes of a container stand still.
    Pause(commands::pause::Arguments),
    Ps(commands::ps::Arguments),
    Restore(commands::restore::Arguments),
    /// Let a paused container go on.
    Resume(commands::pause::Arguments),
    Run(commands::run::Arguments),
    Spec(commands::spec::Arguments),
    Start(commands::start::Arguments),
    State(commands::state::Arguments),
    Update(commands::update::Arguments),
}

/// Verbs that need this process's executable out of reach.
const MAKERS: [&str; 3] = ["create", "run", "exec"];

/// Parses the arguments, does what they say, and returns the exit status.
pub(crate) fn main() -> ExitCode {
    let taken_away = without::take_away();
    // What else is done here would be done again after it.
    if std::env::args_os().any(|word| MAKERS.iter().any(|maker| word == *maker)) {
        protect::early();
    }
    let name = base_name();
    let mut command = Arguments::command().name(name.clone()).bin_name(name.clone());
    let words = words(std::env::args_os(), &mut command);
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return not_understood(&error),
    };
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    let global = arguments.global;
    let helper = matches!(arguments.verb, Some(Verb::Spawner | Verb::Foreground(_)));
    // An exit status that means what a program's does, only where a program's own is passed on.
    let runs =
        helper || matches!(arguments.verb, Some(Verb::Run(_) | Verb::Exec(_) | Verb::Restore(_)));
    let result = match arguments.verb {
        None if arguments.version => commands::version(&name),
        None => Err(Error::invalid("find", "a command in the arguments")
            .hint(format!("`{name} --help` lists them"))),
        Some(verb) => taken_away.and_then(|()| run(verb, &global)),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let error = if helper { error } else { log::for_engines(error) };
            render::error(&error);
            log::error(&global, &error);
            ExitCode::from(if runs { error.code.exit_code() } else { 1 })
        }
    }
}

fn run(verb: Verb, global: &Global) -> Result<u8> {
    match verb {
        Verb::Spawner => commands::spawner::run(),
        Verb::Foreground(arguments) => commands::foreground::run(&arguments),
        Verb::Checkpoint(arguments) => commands::checkpoint::run(global, arguments),
        Verb::Create(arguments) => commands::create::run(global, arguments),
        Verb::Delete(arguments) => commands::delete::run(global, &arguments),
        Verb::Events(arguments) => commands::events::run(global, &arguments),
        Verb::Exec(arguments) => commands::exec::run(global, arguments),
        Verb::Features => commands::features::run(),
        Verb::Kill(arguments) => commands::kill::run(global, &arguments),
        Verb::List(arguments) => commands::list::run(global, &arguments),
        Verb::Pause(arguments) => commands::pause::run(global, &arguments),
        Verb::Restore(arguments) => commands::restore::run(global, arguments),
        Verb::Resume(arguments) => commands::pause::resume(global, &arguments),
        Verb::Ps(arguments) => commands::ps::run(global, &arguments),
        Verb::Run(arguments) => commands::run::run(global, arguments),
        Verb::Spec(arguments) => commands::spec::run(&arguments),
        Verb::Start(arguments) => commands::start::run(global, &arguments),
        Verb::State(arguments) => commands::state::run(global, &arguments),
        Verb::Update(arguments) => commands::update::run(global, &arguments),
    }
}

/// The name that this executable was started under: engines expect to see it again.
fn base_name() -> String {
    let first = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&first).file_name().map(|name| name.to_string_lossy());
    name.filter(|name| !name.is_empty()).map_or_else(|| "minictr-oci".to_owned(), Into::into)
}

/// Help goes where it was asked for; anything else is an error of ours, in the words that engines
/// look for.
fn not_understood(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let missing = error.kind() == ErrorKind::InvalidValue
        && context(ContextKind::InvalidValue).is_none_or(str::is_empty);
    let text = if missing {
        let option = argument.split(' ').next().unwrap_or_default();
        format!("flag needs an argument: {option}")
    } else if let Some(ContextValue::Strings(arguments)) = error.get(ContextKind::InvalidArg) {
        format!("{} is missing", arguments.join(" "))
    } else {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.strip_prefix("error: ").unwrap_or(first).to_owned()
    };
    render::error(&Error::invalid("understand the arguments:", text));
    ExitCode::FAILURE
}

/// The words of the command line as the parser takes them.
fn words(given: impl Iterator<Item = OsString>, command: &mut Command) -> Vec<OsString> {
    let mut given = given.peekable();
    let mut words: Vec<OsString> = given.next().into_iter().collect();
    let mut verb: Option<String> = None;
    let mut options_end = false;
    let mut help_of_all = false;
    while let Some(word) = given.next() {
        let Some(text) = word.to_str().filter(|_| !options_end) else {
            words.push(word);
            continue;
        };
        if text == "--" || !text.starts_with('-') || text == "-" {
            match command.find_subcommand_mut(text) {
                Some(found) if verb.is_none() => {
                    found.build();
                    verb = Some(text.to_owned());
                }
                // An option's value has been taken with it, so this is a word of its own.
                _ => options_end = true,
            }
            words.push(word);
            continue;
        }
        let level = match verb.as_deref().and_then(|verb| command.find_subcommand(verb)) {
            Some(verb) => verb,
            None => &*command,
        };
        let bare = text.trim_start_matches('-');
        help_of_all |= verb.is_none() && matches!(bare, "help" | "h");
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (bare, None),
        };
        let known = level.get_arguments().find(|argument| argument.get_long() == Some(name));
        match (known, value) {
            (Some(known), Some(value)) if matches!(known.get_action(), ArgAction::SetTrue) => {
                match value {
                    "true" | "1" => words.push(format!("--{name}").into()),
                    "false" | "0" => {}
                    _ => words.push(word.clone()),
                }
            }
            (Some(_), _) => words.push(format!("--{bare}").into()),
            (None, _) => words.push(word.clone()),
        }
        let short = || {
            let letter = (bare.len() == 1).then(|| bare.chars().next()).flatten();
            level
                .get_arguments()
                .find(|argument| letter.is_some() && argument.get_short() == letter)
        };
        let takes = known.or_else(short).is_some_and(|known| known.get_action().takes_values());
        if takes && value.is_none() {
            words.extend(given.next());
        }
    }
    if verb.is_none() || help_of_all {
        command.build();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(given: &[&str]) -> Vec<String> {
        let mut command = Arguments::command();
        let given = given.iter().map(OsString::from);
        words(given, &mut command).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn options_may_begin_with_one_dash_and_switches_have_values() {
        assert_eq!(
            parsed(&[
                "runc",
                "-root",
                "/r",
                "--systemd-cgroup=false",
                "create",
                "-no-pivot=true",
                "-b",
                "/b",
                "c1"
            ]),
            ["runc", "--root", "/r", "create", "--no-pivot", "-b", "/b", "c1"]
        );
    }

    #[test]
    fn of_options_that_are_given_twice_the_last_counts() {
        let parsed = |given: &[&str]| Arguments::try_parse_from(given).unwrap();
        let verb = parsed(&["runc", "checkpoint", "--leave-running", "--leave-running", "c1"]).verb;
        assert!(matches!(verb, Some(Verb::Checkpoint(_))));
        let global = parsed(&["runc", "--root", "/a", "--root", "/b", "state", "c1"]).global;
        assert!(format!("{global:?}").contains("/b") && !format!("{global:?}").contains("/a"));
    }

    #[test]
    fn help_says_of_each_verb_what_it_is_for() {
        for given in [&["runc", "--help"] as &[_], &["runc", "-h", "create"]] {
            let mut command = Arguments::command();
            let words = words(given.iter().map(OsString::from), &mut command);
            let help = command.try_get_matches_from(words).unwrap_err().to_string();
            for about in ["exec        Run another process", "features    Print what this runtime"]
            {
                assert!(help.contains(about), "{help}");
            }
        }
    }

    #[test]
    fn a_command_in_the_container_keeps_its_words() {
        assert_eq!(
            parsed(&["runc", "exec", "-t", "c1", "ls", "-tty=true", "-cwd"]),
            ["runc", "exec", "-t", "c1", "ls", "-tty=true", "-cwd"]
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
