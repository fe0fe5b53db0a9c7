//! What host names stand for: looked up on the control thread, at the start and then every
//! [`REFRESH`], so that no session ever waits for a name server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::{Cluster, Endpoint};

/// How often names are looked up again: Envoy's `dns_refresh_rate` default.
pub const REFRESH: Duration = Duration::from_secs(5);

/// Looks up every named endpoint once, members of a replica set that only their fellows name included. A look-up that fails keeps
/// what was known.
pub async fn refresh(clusters: &[Arc<Cluster>]) {
    for cluster in clusters {
        for endpoint in cluster.all_endpoints() {
            if endpoint.is_named() {
                look_up(&cluster.name, &endpoint).await;
            }
        }
    }
}

/// Looks one named endpoint up.
pub(super) async fn look_up(cluster: &str, endpoint: &Endpoint) {
    match tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if !found.is_empty() && found != *endpoint.addresses() {
                tracing::info!(cluster, endpoint = %endpoint.name, addresses = found.len(), "endpoint looked up");
                endpoint.set_addresses(found);
            }
        }
        Err(error) => {
            tracing::warn!(cluster, endpoint = %endpoint.name, %error, "endpoint could not be looked up; its known addresses stay");
        }
    }
}
