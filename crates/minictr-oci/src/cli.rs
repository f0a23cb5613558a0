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
use crate::{commands, log, render, without};

/// Containers from OCI bundles: an OCI runtime, and the native part of minictr.
#[derive(Debug, Parser)]
#[command(name = "minictr-oci", disable_help_subcommand = true, disable_version_flag = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    /// Print the version, the commit and the newest version of the runtime spec.
    #[arg(short, long)]
    version: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
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

/// Parses the arguments, does what they say, and returns the exit status.
pub(crate) fn main() -> ExitCode {
    let name = base_name();
    let command = Arguments::command().name(name.clone()).bin_name(name.clone());
    let matches = match command.clone().try_get_matches_from(words(std::env::args_os(), &command)) {
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
        Some(verb) => without::take_away().and_then(|()| run(verb, &global)),
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
fn words(given: impl Iterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut given = given.peekable();
    let mut words: Vec<OsString> = given.next().into_iter().collect();
    let mut level = command;
    let mut options_end = false;
    while let Some(word) = given.next() {
        let Some(text) = word.to_str().filter(|_| !options_end) else {
            words.push(word);
            continue;
        };
        if text == "--" || !text.starts_with('-') || text == "-" {
            words.push(word.clone());
            match level.find_subcommand(text) {
                Some(verb) if std::ptr::eq(level, command) => level = verb,
                // An option's value has been taken with it, so this is a word of its own.
                _ => options_end = true,
            }
            continue;
        }
        let bare = text.trim_start_matches('-');
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
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(given: &[&str]) -> Vec<String> {
        let command = Arguments::command();
        let given = given.iter().map(OsString::from);
        words(given, &command).into_iter().map(|word| word.into_string().unwrap()).collect()
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
