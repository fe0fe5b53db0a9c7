//! The load of `make bench`: a MongoDB client that keeps one command outstanding on each connection, and the
//! MongoDB that answers it at once with a canned reply, so that the figures do not depend on a busy server.

mod client;
mod cpu;
mod server;
mod wire;

use clap::{Parser, Subcommand};
use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Answer hello, and every other command with one small batch, at once
    Serve {
        /// Where to listen
        address: SocketAddr,
    },
    /// Send `find` as fast as replies come, and print one JSON object of what it cost
    Load {
        /// Where to connect
        address: SocketAddr,
        /// Connections, each with one command outstanding
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// How long to measure, after one second that is not measured
        #[arg(long, default_value_t = 6)]
        seconds: u64,
        /// How long each connection pauses after a reply, in milliseconds
        #[arg(long, default_value_t = 0)]
        think: u64,
        /// The process whose CPU time is divided by the operations
        #[arg(long)]
        pid: u32,
    },
    /// Open connections, say hello on each, print `ready` and hold them until standard input ends
    Idle {
        /// Where to connect
        address: SocketAddr,
        /// How many
        #[arg(long, default_value_t = 5000)]
        connections: usize,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mongoload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    match role {
        Role::Serve { address } => local.block_on(&runtime, server::serve(address)),
        Role::Load {
            address,
            connections,
            seconds,
            think,
            pid,
        } => {
            let (window, think) = (Duration::from_secs(seconds), Duration::from_millis(think));
            let load = client::load(address, connections, window, think, pid);
            let cost = local.block_on(&runtime, load)?;
            println!("{cost}");
            Ok(())
        }
        Role::Idle {
            address,
            connections,
        } => {
            let held = local.block_on(&runtime, client::open(address, connections))?;
            println!("ready");
            // Nothing is left to drive: the sockets stay open by being held.
            io::copy(&mut io::stdin(), &mut io::sink())?;
            drop(held);
            Ok(())
        }
    }
}
