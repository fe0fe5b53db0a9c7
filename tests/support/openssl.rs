//! OpenSSL's own client as a peer.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::tool;

/// What `openssl s_client` had to say.
#[derive(Debug)]
pub struct Said {
    /// The handshake succeeded, and the connection was closed in order.
    pub success: bool,
    /// Everything it printed.
    pub text: String,
}

/// Connects, shakes hands, and leaves.
pub fn s_client(address: SocketAddr, arguments: &[&str]) -> Said {
    let output = Command::new(tool("openssl"))
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said {
        success: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// The application protocol that is agreed on when these are offered, as in `h2,http/1.1`.
pub fn alpn(address: SocketAddr, offers: &str) -> Option<String> {
    s_client(address, &["-alpn", offers]).after("ALPN protocol: ")
}

impl Said {
    /// The rest of the line that begins with this.
    pub fn after(&self, begin: &str) -> Option<String> {
        let mut lines = self.text.lines().map(str::trim_start);
        lines
            .find_map(|line| line.strip_prefix(begin))
            .map(str::to_owned)
    }

    /// The common name of the certificate that the server showed.
    pub fn common_name(&self) -> Option<String> {
        self.after("subject=CN = ").or(self.after("subject=CN="))
    }
}
