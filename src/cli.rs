//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, load};

/// A proxy that measures every operation that passes.
#[derive(Debug, Parser)]
#[command(name = "narrows", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Forward and measure.
    Run(RunArgs),
    /// Say what is wrong with a config file, and do nothing else.
    Check(CheckArgs),
    /// Print the JSON Schema of the config file.
    Schema,
}

/// Where the configuration of `run` comes from: a file, or flags.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// YAML config file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// YAML config file.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

impl RunArgs {
    /// The configuration that these arguments stand for.
    ///
    /// # Errors
    /// Every mistake in the file or in the flags.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        load(
            self.config
                .as_deref()
                .unwrap_or_else(|| std::path::Path::new("narrows.yaml")),
        )
    }
}

/// Runs the command line: what `main` does.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
