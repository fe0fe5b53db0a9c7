//! TLS with a client that has just connected, before its session begins.

use tokio::net::TcpStream;

use super::context::ListenerContext;
use super::sessions::{SessionHandle, Verdict};
use crate::exchange::CloseReason;
use crate::stream::Stream;
use crate::tls::{Failure, Reason, ServerTls};

/// The client's connection, within TLS where the listener has it.
///
/// # Errors
/// Why the client has to go: it fails in the handshake, or the process ends.
pub(super) async fn secured(
    client: TcpStream,
    context: &ListenerContext,
    handle: &SessionHandle,
) -> Result<Stream, CloseReason> {
    let Some(tls) = &context.policy.listener.tls else {
        return Ok(client.into());
    };
    // On the heap, as a handshake is short and a session is long.
    let handshake = Box::pin(handshake(client, tls, context));
    tokio::select! {
        stream = handshake => stream.ok_or(CloseReason::HandshakeFailed),
        verdict = handle.told_to_end() => Err(match verdict {
            Verdict::Drain => CloseReason::Drained,
            _ => CloseReason::Aborted,
        }),
    }
}

async fn handshake(
    client: TcpStream,
    tls: &ServerTls,
    context: &ListenerContext,
) -> Option<Stream> {
    let listener = &context.policy.listener.name;
    let peer = client.peer_addr().ok().map(|peer| peer.to_string());
    let peer = peer.as_deref();
    match tls.accept(client, &context.shared.tls_tally).await {
        Ok(stream) => {
            tracing::debug!(
                %listener,
                peer,
                version = stream.tls_version(),
                server_name = stream.server_name(),
                alpn = stream.alpn().map(String::from_utf8_lossy).as_deref(),
                "TLS handshake"
            );
            if let Some(client) = stream.client_identity() {
                tracing::info!(%listener, peer, client, "a client has shown its certificate");
            }
            Some(stream)
        }
        Err(failure) if is_about_the_client(&failure) => {
            tracing::warn!(%listener, peer, reason = failure.reason.label(), %failure, "a client was turned away in its TLS handshake");
            None
        }
        // Scanners, health checks, plain text at the wrong port: noise, of which the stats tell enough.
        Err(failure) => {
            tracing::debug!(%listener, peer, reason = failure.reason.label(), %failure, "TLS handshake failed");
            None
        }
    }
}

/// Somebody who should be let in, perhaps, and whom somebody will look for.
fn is_about_the_client(failure: &Failure) -> bool {
    failure.reason.is_verification() || failure.reason == Reason::NoCertificate
}
