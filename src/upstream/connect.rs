//! One upstream connection for one session: choose an endpoint, connect, try another.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::cluster::{Balance, Cluster, Endpoint, Occupied};
use crate::socket;
use crate::stats::{Cluster as ClusterStat, ClusterEndpoint, Scope};
use crate::stream::Stream;
use crate::tls::Failure;

/// Endpoints tried for one session before it is given up: the first and three more, as HAProxy's
/// `retries 3` with `option redispatch` does.
const MAX_ATTEMPTS: usize = 4;

/// A connection, and its share of the endpoint's load until it is dropped.
pub struct Connected {
    /// The connection, with Nagle's algorithm off.
    pub stream: Stream,
    /// Which endpoint of the cluster it goes to.
    pub endpoint: usize,
    /// When the connection was there.
    pub since: Instant,
    /// The share itself.
    pub occupied: Occupied,
}

/// Why no connection could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A host name is not known (yet).
    #[error("no address is known for {0}")]
    NoAddress(String),
    /// The system refused.
    #[error("{endpoint}: {source}")]
    Refused {
        /// The endpoint's name.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// The endpoint was reached, but TLS could not be agreed on.
    #[error("{endpoint}: TLS: {failure}")]
    Tls {
        /// The endpoint's name.
        endpoint: String,
        /// What went wrong.
        failure: Failure,
    },
    /// The cluster's `connect_timeout` passed.
    #[error("{0}: no answer within connect_timeout")]
    TimedOut(String),
}

/// Connects to an endpoint of the cluster, and to the next one when that fails. `offer` as in [`dial`].
///
/// # Errors
/// The last attempt's error, when every attempt failed.
pub async fn connect(
    cluster: &Cluster,
    balance: Balance,
    stats: &Scope<ClusterStat>,
    endpoint_stats: &[Scope<ClusterEndpoint>],
    offer: Option<&[u8]>,
) -> Result<Connected, ConnectError> {
    let mut tried = Vec::new();
    let mut last = ConnectError::NoAddress(cluster.name.clone());
    while tried.len() < MAX_ATTEMPTS {
        let Some((index, endpoint)) = cluster.choose(balance, &tried) else {
            break;
        };
        tried.push(index);
        let endpoint_stat = endpoint_stats.get(index);
        let occupied = endpoint.occupy();
        match attempt(cluster, endpoint, stats, offer).await {
            Ok(stream) => {
                return Ok(Connected {
                    stream,
                    endpoint: index,
                    since: Instant::now(),
                    occupied,
                });
            }
            Err(error) => {
                stats.inc(match error {
                    ConnectError::TimedOut(_) => ClusterStat::UPSTREAM_CX_CONNECT_TIMEOUT,
                    _ => ClusterStat::UPSTREAM_CX_CONNECT_FAIL,
                });
                if let Some(stat) = endpoint_stat {
                    stat.inc(ClusterEndpoint::CX_CONNECT_FAIL);
                }
                last = error;
            }
        }
    }
    stats.inc(ClusterStat::UPSTREAM_CX_NONE_HEALTHY);
    Err(last)
}

async fn attempt(
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    stats: &Scope<ClusterStat>,
    offer: Option<&[u8]>,
) -> Result<Stream, ConnectError> {
    let begun = Instant::now();
    let stream = timeout(cluster.connect_timeout, dial(endpoint, offer))
        .await
        .unwrap_or_else(|_| Err(ConnectError::TimedOut(endpoint.name.clone())))?;
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    stats.record(ClusterStat::UPSTREAM_CX_CONNECT_MS, micros);
    Ok(stream)
}

/// One connection to an endpoint, over the first of its addresses that takes one, and within TLS where the cluster has it: `offer` is then
/// the application protocol that the caller will speak, such as `h2`. How long all of it may take is the caller's to say.
///
/// # Errors
/// The last address's error, or that no address is known.
pub async fn dial(endpoint: &Endpoint, offer: Option<&[u8]>) -> Result<Stream, ConnectError> {
    let mut last = ConnectError::NoAddress(endpoint.name.clone());
    for address in endpoint.addresses().iter() {
        let refused = match dial_address(*address).await {
            Ok(tcp) => match begin_tls(endpoint, tcp, offer).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            },
            Err(source) => ConnectError::Refused {
                endpoint: endpoint.name.clone(),
                source,
            },
        };
        last = refused;
    }
    Err(last)
}

async fn begin_tls(
    endpoint: &Endpoint,
    tcp: TcpStream,
    offer: Option<&[u8]>,
) -> Result<Stream, ConnectError> {
    let Some(tls) = &endpoint.tls else {
        return Ok(tcp.into());
    };
    let connected = tls.connect(tcp, offer).await;
    connected.map_err(|failure| ConnectError::Tls {
        endpoint: endpoint.name.clone(),
        failure,
    })
}

async fn dial_address(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    socket::prepare(&stream)?;
    Ok(stream)
}
