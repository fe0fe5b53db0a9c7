//! Listening sockets: one a worker on the same address (SO_REUSEPORT), all bound before any is used.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel keeps for us between handshake and accept; the kernel caps it at
/// `net.core.somaxconn` (4,096 by default since Linux 5.4).
const BACKLOG: i32 = 4_096;

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener `{listener}` can't listen on {address}: {source}{}", hint(.source))]
pub struct BindError {
    listener: String,
    address: SocketAddr,
    source: io::Error,
}

/// Binds one socket for each worker. With port 0 the kernel chooses a port once, for all of them.
///
/// # Errors
/// When any socket can't be bound; none stays bound then.
pub fn bind_all(
    listener: &str,
    address: SocketAddr,
    workers: usize,
) -> Result<Vec<TcpListener>, BindError> {
    // SO_REUSEPORT alone would let a second process of the same user share the address in silence:
    // a plain bind first says whether anybody has it.
    let probe = bind(address, false).map_err(failed(listener, address))?;
    let address = probe.local_addr().map_err(failed(listener, address))?;
    drop(probe);
    (0..workers)
        .map(|_| bind(address, true).map_err(failed(listener, address)))
        .collect()
}

/// Binds one socket that nobody shares.
///
/// # Errors
/// When the address is not to be had.
pub fn bind_one(listener: &str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = bind(address, false)?;
        socket2::SockRef::from(&socket).listen(BACKLOG)?;
        Ok(socket)
    };
    listen().map_err(failed(listener, address))
}

fn failed(listener: &str, address: SocketAddr) -> impl Fn(io::Error) -> BindError {
    let listener = listener.to_string();
    move |source| BindError {
        listener: listener.clone(),
        address,
        source,
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process (or another listener) has that address",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "; that address is not one of this machine's",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_is_chosen_once_for_all_workers() {
        let sockets = bind_all("a", "127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn an_address_in_use_is_refused_with_the_listeners_name() {
        let taken = bind_all("first", "127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let error = bind_all("second", taken[0].local_addr().unwrap(), 1).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`second`") && text.contains("another process"),
            "{text}"
        );
    }
}
