//! TLS of all listeners and clusters: how handshakes went, and when certificates expire.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::topology::Topology;
use crate::stats::{
    ClusterSsl, ClusterSslCertificate, ClusterSslFailure, ClusterSslVersion, Counter, Gauge,
    ListenerSsl, ListenerSslCertificate, ListenerSslFailure, ListenerSslVersion, Scope, ScopeKind,
    Server, Shard,
};
use crate::tls::{Certificate, Counts, Reason, Tally, Version};

/// Certificates are dated to the second, but renewed in days.
const DAY_SECONDS: i64 = 86_400;

/// What is shown of TLS.
pub(super) struct TlsStats {
    listeners: Side<ListenerSsl, ListenerSslVersion, ListenerSslFailure, ListenerSslCertificate>,
    clusters: Side<ClusterSsl, ClusterSslVersion, ClusterSslFailure, ClusterSslCertificate>,
    server: Scope<Server>,
}

/// All listeners, or all clusters.
struct Side<B, V, F, C> {
    metrics: Metrics<B, V, F, C>,
    /// Of those that run, and of those that have run and may still count.
    tallies: Vec<(String, Arc<Tally>)>,
    /// Of every certificate that has been shown.
    expirations: HashMap<(String, String), Scope<C>>,
}

/// The same in two scopes.
struct Metrics<B, V, F, C> {
    handshake: Counter<B>,
    connection_error: Counter<B>,
    session_reused: Counter<B>,
    no_certificate: Option<Counter<B>>,
    fail_verify_no_cert: Option<Counter<B>>,
    fail_verify_error: Counter<B>,
    fail_verify_san: Option<Counter<B>>,
    version: Counter<V>,
    failure: Counter<F>,
    expiration: Gauge<C>,
}

/// One listener or cluster that has TLS.
struct Using<'a> {
    name: &'a str,
    tally: &'a Arc<Tally>,
    certificates: &'a [Certificate],
}

impl TlsStats {
    pub(super) fn new(shard: &Shard) -> Self {
        let listeners = Metrics {
            handshake: ListenerSsl::HANDSHAKE,
            connection_error: ListenerSsl::CONNECTION_ERROR,
            session_reused: ListenerSsl::SESSION_REUSED,
            no_certificate: Some(ListenerSsl::NO_CERTIFICATE),
            fail_verify_no_cert: Some(ListenerSsl::FAIL_VERIFY_NO_CERT),
            fail_verify_error: ListenerSsl::FAIL_VERIFY_ERROR,
            fail_verify_san: None,
            version: ListenerSslVersion::TOTAL,
            failure: ListenerSslFailure::TOTAL,
            expiration: ListenerSslCertificate::EXPIRATION,
        };
        let clusters = Metrics {
            handshake: ClusterSsl::HANDSHAKE,
            connection_error: ClusterSsl::CONNECTION_ERROR,
            session_reused: ClusterSsl::SESSION_REUSED,
            no_certificate: None,
            fail_verify_no_cert: None,
            fail_verify_error: ClusterSsl::FAIL_VERIFY_ERROR,
            fail_verify_san: Some(ClusterSsl::FAIL_VERIFY_SAN),
            version: ClusterSslVersion::TOTAL,
            failure: ClusterSslFailure::TOTAL,
            expiration: ClusterSslCertificate::EXPIRATION,
        };
        Self {
            listeners: Side::new(listeners),
            clusters: Side::new(clusters),
            server: shard.scope(&[]),
        }
    }

    /// Adds what was counted since the last time, and shows the certificates in use.
    pub(super) fn update(&mut self, topology: &Topology, shard: &Shard) {
        let listeners = topology.listeners().iter().filter_map(|running| {
            Some(Using {
                name: &running.config.name,
                tally: &running.shared.tls_tally,
                certificates: &running.config.tls.as_ref()?.settings().certificates,
            })
        });
        let clusters = topology.clusters();
        let clusters = clusters.iter().filter_map(|cluster| {
            Some(Using {
                name: &cluster.name,
                tally: &cluster.tls_tally,
                certificates: cluster.tls.as_ref()?.settings().certificate.as_slice(),
            })
        });
        let days = [
            self.listeners.update(listeners, shard),
            self.clusters.update(clusters, shard),
        ];
        let first = days.into_iter().flatten().min();
        self.server.gauge_set(
            Server::FIRST_CERT_EXPIRES_IN,
            first.unwrap_or_default() * DAY_SECONDS,
        );
    }
}

impl<B: ScopeKind, V: ScopeKind, F: ScopeKind, C: ScopeKind> Side<B, V, F, C> {
    fn new(metrics: Metrics<B, V, F, C>) -> Self {
        Self {
            metrics,
            tallies: Vec::new(),
            expirations: HashMap::new(),
        }
    }

    /// Returns how many days the first certificate has left.
    fn update<'a>(&mut self, using: impl Iterator<Item = Using<'a>>, shard: &Shard) -> Option<i64> {
        // What is no longer in use does not expire any more.
        for shown in self.expirations.values() {
            shown.gauge_set(self.metrics.expiration, 0);
        }
        let now = SystemTime::now();
        let mut first_days = None;
        for using in using {
            self.know(&using);
            // Of two with one name the first one to expire is shown.
            let mut certificates: Vec<_> = using.certificates.iter().map(|it| &it.facts).collect();
            certificates.sort_by_key(|facts| std::cmp::Reverse(facts.not_after));
            for facts in certificates {
                let labels = (using.name.to_owned(), facts.name().to_owned());
                let make = || shard.scope(&[using.name.as_bytes(), facts.name().as_bytes()]);
                let shown = self.expirations.entry(labels).or_insert_with(make);
                shown.gauge_set(self.metrics.expiration, facts.not_after);
                let days = facts.days_left(now);
                first_days = Some(first_days.map_or(days, |first: i64| first.min(days)));
            }
        }
        for (name, tally) in &self.tallies {
            self.metrics.add(shard, name, &tally.take());
        }
        // Nobody else counts in it any more, so that all of it has been shown.
        self.tallies
            .retain(|(_, tally)| Arc::strong_count(tally) > 1);
        first_days
    }

    fn know(&mut self, using: &Using<'_>) {
        let is_known = |(name, tally): &(String, Arc<Tally>)| {
            name == using.name && Arc::ptr_eq(tally, using.tally)
        };
        if !self.tallies.iter().any(is_known) {
            self.tallies
                .push((using.name.to_owned(), Arc::clone(using.tally)));
        }
    }
}

impl<B: ScopeKind, V: ScopeKind, F: ScopeKind, C> Metrics<B, V, F, C> {
    fn add(&self, shard: &Shard, name: &str, counts: &Counts) {
        let name = name.as_bytes();
        let shown: Scope<B> = shard.scope(&[name]);
        let add = |counter: Option<Counter<B>>, count| {
            if let Some(counter) = counter {
                shown.add(counter, count);
            }
        };
        let no_certificate = |reason| reason == Reason::NoCertificate;
        let wrong_name = |reason| reason == Reason::WrongName;
        let is_other = |reason: Reason| {
            !(reason.is_verification() || no_certificate(reason) || wrong_name(reason))
        };
        add(Some(self.handshake), counts.succeeded());
        add(Some(self.session_reused), counts.resumed);
        add(self.no_certificate, counts.without_certificate);
        add(Some(self.connection_error), counts.failed(is_other));
        add(
            Some(self.fail_verify_error),
            counts.failed(Reason::is_verification),
        );
        add(self.fail_verify_no_cert, counts.failed(no_certificate));
        add(self.fail_verify_san, counts.failed(wrong_name));
        let versions = Version::ALL.iter().zip(counts.versions);
        for (version, count) in versions.filter(|(_, count)| *count > 0) {
            let shown: Scope<V> = shard.scope(&[name, version.label().as_bytes()]);
            shown.add(self.version, count);
        }
        let failures = Reason::ALL.iter().zip(counts.failures);
        for (reason, count) in failures.filter(|(_, count)| *count > 0) {
            let shown: Scope<F> = shard.scope(&[name, reason.label().as_bytes()]);
            shown.add(self.failure, count);
        }
    }
}
