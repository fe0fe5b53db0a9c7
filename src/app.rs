//! The control thread: config → stats → clusters → workers → listeners → admin, then signals,
//! timers and reloads until the process has drained.

mod control;
mod pool_stats;
mod server_stats;
mod tls_stats;
mod topology;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::admin::{self, Ask, Next};
use crate::config::Config;
use crate::socket;
use crate::upstream::discovery;

pub use control::{Control, ReloadError};
pub use topology::{RunningListener, Topology};

/// How long sessions that were told to end at once may take to do so.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Admin requests that wait for the control thread; more wait in their sockets.
const MAX_ASKED: usize = 64;

/// Why the process could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listener or the admin address is not to be had.
    #[error(transparent)]
    Bind(#[from] crate::listener::BindError),
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// A worker thread ended though nobody told it to.
    #[error("a worker ended unexpectedly; see the log above")]
    WorkerDied,
}

/// Runs until a signal or `POST /drain` ends the process in order.
///
/// # Errors
/// When something the config asks for is not to be had at the start.
pub fn run(config: Config, source: Option<PathBuf>) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(|source| AppError::System {
            what: "no event queue for the control thread",
            source,
        })?;
    runtime.block_on(control_thread(config, source))
}

async fn control_thread(config: Config, source: Option<PathBuf>) -> Result<(), AppError> {
    let system = |what| move |source| AppError::System { what, source };
    let mut hangup = signal(SignalKind::hangup()).map_err(system("SIGHUP can't be handled"))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(system("SIGTERM can't be handled"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(system("SIGINT can't be handled"))?;

    tracing::info!(open_files = socket::raise_descriptor_limit(), "starting");
    let admin_socket = admin::bind(config.admin.listen)?;
    let mut look_up = interval(discovery::REFRESH);
    look_up.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut flush = interval(config.stats.interval);
    flush.set_missed_tick_behavior(MissedTickBehavior::Skip);
    flush.reset();

    let (mut control, mut notes) = Control::start(config, source).await?;
    let (asking, mut asked) = mpsc::channel(MAX_ASKED);
    admin::serve(admin_socket, asking).map_err(system("admin can't be served"))?;

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                // What came of it is in the log: a signal has no other way to answer.
                let _ = control.reload_and_log().await;
            }
            Some(gathered) = notes.recv() => control.take_notes(gathered),
            Some(ask) = asked.recv() => {
                if admin::answer(ask, &mut control).await == Next::Drain {
                    break;
                }
            }
            _ = flush.tick() => {
                if !control.workers_alive() {
                    return Err(AppError::WorkerDied);
                }
                control.flush().await;
            }
            _ = look_up.tick() => {
                let clusters = control.clusters();
                tokio::task::spawn_local(async move { discovery::refresh(&clusters).await });
            }
        }
    }

    drain(&mut control, &mut asked, [&mut terminate, &mut interrupt]).await;
    Ok(())
}

/// Lets what is under way end, while the admin pages go on answering.
async fn drain(
    control: &mut Control,
    asked: &mut mpsc::Receiver<Ask>,
    [terminate, interrupt]: [&mut Signal; 2],
) {
    let deadline = control.config.drain_timeout;
    let workers = control.begin_drain();
    tracing::info!(
        timeout_s = deadline.as_secs_f64(),
        "draining; a second signal ends at once"
    );
    let drained = timeout(deadline, workers.drain());
    tokio::pin!(drained);
    let drained = loop {
        tokio::select! {
            drained = &mut drained => break drained.is_ok(),
            _ = terminate.recv() => break false,
            _ = interrupt.recv() => break false,
            Some(ask) = asked.recv() => {
                admin::answer(ask, control).await;
            }
        }
    };
    if !drained {
        tracing::warn!(
            sessions = workers.sessions(),
            "sessions are ended that did not become quiet"
        );
        if timeout(ABORT_TIMEOUT, workers.abort()).await.is_err() {
            tracing::warn!(
                sessions = workers.sessions(),
                "sessions did not end in time"
            );
        }
    }
    control.flush().await;
    tracing::info!("drained");
}
