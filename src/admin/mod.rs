//! Admin: what runs, what it counted, and the few things that can be asked of it. By axum, on the
//! control thread, on loopback unless the config says otherwise. What changes state is POST only.

//!
//! A request becomes an [`Ask`] that the control thread answers between its other work; nothing of
//! what it owns is shared.

mod ask;
mod certs;
mod clusters;
mod guard;
mod hot_keys;
mod pages;
mod stats;

use std::future::IntoFuture;
use std::io;
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::mpsc;

use crate::listener::{BindError, bind_one};

pub use ask::{Answer, Ask, Next, Page, answer};

/// Binds the admin address.
///
/// # Errors
/// When the address is not to be had.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind_one("admin", address)
}

/// Serves the admin pages until the process ends.
///
/// # Errors
/// When the socket can't be registered.
pub fn serve(socket: TcpListener, asking: mpsc::Sender<Ask>) -> io::Result<()> {
    let address = socket.local_addr()?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let router = guard::protect(router(asking), address);
    tracing::info!(%address, "admin listening");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(socket, router).into_future().await {
            tracing::error!(%error, "admin ended");
        }
    });
    Ok(())
}

fn router(asking: mpsc::Sender<Ask>) -> Router {
    Router::new()
        .route("/", get(ask::index))
        .route("/ready", get(ask::ready))
        .route("/config", get(ask::config))
        .route("/certs", get(certs::certs))
        .route("/clusters", get(clusters::clusters))
        .route("/clusters/{name}/drain", post(clusters::drain))
        .route("/clusters/{name}/resume", post(clusters::resume))
        .route("/hot_keys", get(hot_keys::hot_keys))
        .route("/listeners", get(ask::listeners))
        .route("/stats", get(stats::stats))
        .route("/metrics", get(stats::metrics))
        .route("/reload", post(ask::reload))
        .route("/drain", post(ask::drain))
        .with_state(asking)
}
