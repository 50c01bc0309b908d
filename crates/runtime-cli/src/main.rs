//! `tare`, an OCI container runtime with the command line of runc.
//!
//! Here, and only here, errors become text and exit codes.

mod args;
mod commands;
mod console_socket;
mod listen_fds;
mod logger;
mod owner;
mod pid_file;
mod relay;
mod rfc3339;
mod setuid;
mod signals;
mod state_json;
mod state_root;
mod table;
mod terminal;
mod text;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use args::{Globals, Misuse, Request, UsageError};
use logger::Channel;

// The standard library has seen to it that the descriptors 0 to 2 are open and that SIGPIPE is ignored.
fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = name_of(arguments.next().as_deref());
    let mut channel = Channel::Stderr;
    let outcome = setuid::refuse()
        .and_then(|()| signals::survive_file_size_limit())
        .and_then(|()| run(program, arguments, &mut channel));
    outcome.unwrap_or_else(|error| fail(&error, channel))
}

/// Reads the command line and executes it. `channel` becomes where errors are logged.
fn run(
    program: String,
    arguments: impl Iterator<Item = OsString>,
    channel: &mut Channel,
) -> anyhow::Result<ExitCode> {
    let (globals, rest) = match args::read_globals(arguments) {
        Ok(Request::Run((globals, rest))) => (Globals { program, ..globals }, rest),
        Ok(Request::Help) => return help(&program),
        Err(misuse) => return Err(misused(&program, misuse, &commands::program_help(&program))),
    };
    if globals.version {
        let version = commands::version();
        text::print(format!("tare version {version}\n").as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let format = logger::format(args::given(globals.log_format.as_ref()))?;
    *channel = logger::install(args::given(globals.log.as_ref()), format, globals.debug)?;
    let mut rest = rest.into_iter();
    match rest.next() {
        None => help(&globals.program),
        Some(name) if name == "help" || name == "h" => match rest.next() {
            None => help(&globals.program),
            Some(topic) => commands::help(&globals.program, &topic),
        },
        Some(name) => execute(&globals, &name, rest.collect()),
    }
}

fn execute(globals: &Globals, name: &OsStr, rest: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let wants_help = rest.iter().any(|word| word == "-h" || word == "--help");
    let command = commands::find(name, if wants_help { 1 } else { 3 })?;
    match args::read_command((command.definition)(), rest.into_iter()) {
        Ok(Request::Run(matches)) => (command.run)(globals, &matches),
        Ok(Request::Help) => {
            let help = args::command_help(&globals.program, &(command.definition)());
            text::print(help.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(misuse) => {
            let help = args::command_help(&globals.program, &(command.definition)());
            Err(misused(&globals.program, misuse, &help))
        }
    }
}

fn help(program: &str) -> anyhow::Result<ExitCode> {
    text::print(commands::program_help(program).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn misused(program: &str, misuse: Misuse, help: &str) -> anyhow::Error {
    let (message, help) = match misuse {
        Misuse::Flag(message) => (message.clone(), format!("Incorrect Usage: {message}\n\n{help}")),
        Misuse::Count(message) => {
            (format!("{program}: {message}"), format!("Incorrect Usage.\n\n{help}"))
        }
    };
    UsageError { message, help, code: 1 }.into()
}

/// Tells of the error that ends the program: in the log, and if that is a file, also in plain words on
/// the standard error, which conmon hands on.
fn fail(error: &anyhow::Error, channel: Channel) -> ExitCode {
    let usage = error.downcast_ref::<UsageError>();
    if let Some(usage) = usage {
        // That the help can't be written is not what has to be told.
        text::print(usage.help.as_bytes()).ok();
    }
    // This does nothing if the options have been read: then the log is there.
    logger::install(None, logger::Format::Text, false).ok();
    log::error!("{error:#}");
    if channel == Channel::File {
        // There is nowhere left to report a failure to.
        writeln!(std::io::stderr(), "{error:#}").ok();
    }
    ExitCode::from(usage.map_or(1, |usage| usage.code))
}

/// The name that the program was called by, without its directory.
fn name_of(argument: Option<&OsStr>) -> String {
    argument
        .and_then(|path| Path::new(path).file_name())
        .map_or_else(|| "tare".into(), |name| name.to_string_lossy().into_owned())
}
