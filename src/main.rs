//! The command line: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use narrows::cli::{Cli, Command, RunArgs};
use narrows::{app, config, telemetry};

/// Something failed while running.
const FAILED: u8 = 1;

/// The arguments or the config have mistakes. clap ends with the same code.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Check(arguments) => match config::load(&arguments.config) {
            Ok(_) => print(&format!("{}: no problems", arguments.config.display())),
            Err(problems) => complain(&problems, BAD_USAGE),
        },
        Command::Schema => print(&format!("{:#}", config::schema())),
        Command::User(arguments) => match arguments.run() {
            Ok(text) => print(&text),
            Err(error) if error.is_usage() => complain(&error, BAD_USAGE),
            Err(error) => complain(&error, FAILED),
        },
    }
}

fn run(arguments: &RunArgs) -> ExitCode {
    let config = match arguments.resolve() {
        Ok(config) => config,
        Err(problems) => return complain(&problems, BAD_USAGE),
    };
    telemetry::process_log::init(&config.log);
    std::panic::set_hook(Box::new(report_bug));
    match app::run(config, arguments.config.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("narrows: {error}"), FAILED),
    }
}

/// A bug ends the session that met it, and nothing else; it is a line in the log like any other.
fn report_bug(bug: &std::panic::PanicHookInfo<'_>) {
    let place = bug.location().map(ToString::to_string);
    tracing::error!(place, "a bug in narrows: please report it with this line");
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough, as `head` does.
        Err(_) => ExitCode::from(FAILED),
    }
}

fn complain(problem: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // Standard error is the last resort: where it can't be written, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "{problem}");
    ExitCode::from(code)
}
