//! report: one [`Exchange`] added to every series it belongs to.

use narrows_parsers::mongo::QueryClass;

use crate::exchange::{Exchange, MongoPart, Outcome, Timing, Wait};
use crate::stats::{Cluster, Mongo, MongoApp, MongoCallsite, MongoCollection, MongoCommand, Scope};

use super::MongoListener;
use super::route::Route;

/// The application a connection named in its handshake.
pub struct Application {
    stats: Scope<MongoApp>,
}

impl Application {
    pub(super) fn enter(stats: Scope<MongoApp>) -> Self {
        stats.inc(MongoApp::CX_TOTAL);
        stats.gauge_add(MongoApp::CX_ACTIVE, 1);
        Self { stats }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stats.gauge_add(MongoApp::CX_ACTIVE, -1);
    }
}

/// The times of an exchange that enter percentiles, in microseconds.
#[derive(Clone, Copy)]
struct Micros {
    total: u64,
    upstream: u64,
    added: u64,
}

impl Micros {
    fn of(timing: &Timing) -> Self {
        let (total, upstream) = (micros(timing.total()), micros(timing.upstream()));
        Self {
            total,
            upstream,
            added: total.saturating_sub(upstream),
        }
    }
}

impl MongoListener {
    /// Adds a finished exchange to its series.
    pub fn report(
        &self,
        exchange: &Exchange<MongoPart>,
        route: &Route,
        application: Option<&Application>,
    ) {
        if !self.enabled {
            return;
        }
        let failed = has_failed(exchange);
        let micros = exchange
            .timing
            .filter(|_| exchange.part.wait == Wait::Work)
            .map(|timing| Micros::of(&timing));
        self.report_totals(exchange, failed);
        report_command(&route.command, exchange, failed, micros);
        if let Some(collection) = &route.collection {
            report_collection(collection, exchange, failed);
        }
        if let Some(call_site) = &route.call_site {
            report_call_site(call_site, exchange, failed);
        }
        if !route.is_shared {
            self.record_apart(exchange, route, micros);
        }
        if let Some(application) = application {
            report_application(&application.stats, failed, micros);
        }
        if let Some(code) = exchange.part.error_code.filter(|_| failed) {
            self.error_code(code);
        }
        if !failed {
            self.cluster.inc(Cluster::UPSTREAM_RQ_COMPLETED);
        }
    }

    /// Records to each series what a shared route records to its command's for all of them.
    #[cold]
    fn record_apart(&self, exchange: &Exchange<MongoPart>, route: &Route, micros: Option<Micros>) {
        let size = exchange.reply_bytes;
        let documents = exchange.part.documents_returned;
        if let Some(micros) = micros {
            self.cluster
                .record(Cluster::UPSTREAM_RQ_TIME, micros.upstream);
        }
        if let Some(stats) = &route.collection {
            if exchange.timing.is_some() {
                stats.record(MongoCollection::REPLY_SIZE, size);
                stats.record(MongoCollection::REPLY_NUM_DOCS, documents);
            }
            if let Some(micros) = micros {
                stats.record(MongoCollection::REPLY_TIME_MS, micros.upstream);
            }
        }
        if let Some(stats) = &route.call_site {
            if exchange.timing.is_some() {
                stats.record(MongoCallsite::REPLY_SIZE, size);
                stats.record(MongoCallsite::REPLY_NUM_DOCS, documents);
            }
            if let Some(micros) = micros {
                stats.record(MongoCallsite::REPLY_TIME_MS, micros.upstream);
            }
        }
    }

    /// The listener's histograms are those of its commands, added up when they are gathered.
    fn report_totals(&self, exchange: &Exchange<MongoPart>, failed: bool) {
        let stats = &self.stats;
        stats.inc(Mongo::TOTAL);
        if failed {
            stats.inc(Mongo::ERROR);
        }
        if exchange.outcome == Outcome::Unacknowledged {
            stats.inc(Mongo::UNACKNOWLEDGED);
        }
        stats.add(Mongo::DOCUMENTS_RETURNED, exchange.part.documents_returned);
        stats.add(Mongo::DOCUMENTS_WRITTEN, exchange.part.documents_written);
        match exchange.part.query_class {
            Some(QueryClass::Scatter) => stats.inc(Mongo::OP_QUERY_SCATTER_GET),
            Some(QueryClass::Several) => stats.inc(Mongo::OP_QUERY_MULTI_GET),
            Some(QueryClass::ById) | None => {}
        }
        match exchange.part.wait {
            Wait::Work => {}
            Wait::AwaitableHello => stats.inc(Mongo::AWAITABLE_HELLO),
            Wait::Cursor => stats.inc(Mongo::CURSOR_WAITS),
        }
    }
}

/// True for what an operator would call an error. A client that leaves while it only waits for a
/// change has lost nothing, and the server's word that it left (279 ClientDisconnect) says no more.
fn has_failed(exchange: &Exchange<MongoPart>) -> bool {
    match exchange.outcome {
        Outcome::Success | Outcome::Unacknowledged => false,
        Outcome::UpstreamGone => true,
        Outcome::Error => exchange.part.wait != Wait::AwaitableHello,
        Outcome::ClientGone => exchange.part.wait == Wait::Work,
    }
}

fn report_command(
    stats: &Scope<MongoCommand>,
    exchange: &Exchange<MongoPart>,
    failed: bool,
    micros: Option<Micros>,
) {
    stats.inc(MongoCommand::TOTAL);
    if failed {
        stats.inc(MongoCommand::ERROR);
    }
    if exchange.outcome == Outcome::Unacknowledged {
        stats.inc(MongoCommand::UNACKNOWLEDGED);
    }
    stats.record(MongoCommand::REQUEST_SIZE, exchange.request_bytes);
    if exchange.timing.is_some() {
        stats.record(MongoCommand::REPLY_SIZE, exchange.reply_bytes);
        stats.record(
            MongoCommand::REPLY_NUM_DOCS,
            exchange.part.documents_returned,
        );
    }
    if let Some(micros) = micros {
        stats.record(MongoCommand::REPLY_TIME_MS, micros.upstream);
        stats.record(MongoCommand::TOTAL_TIME_MS, micros.total);
        stats.record(MongoCommand::ADDED_TIME_MS, micros.added);
    }
}

fn report_collection(stats: &Scope<MongoCollection>, exchange: &Exchange<MongoPart>, failed: bool) {
    stats.inc(MongoCollection::TOTAL);
    if failed {
        stats.inc(MongoCollection::ERROR);
    }
    match exchange.part.query_class {
        Some(QueryClass::Scatter) => stats.inc(MongoCollection::SCATTER_GET),
        Some(QueryClass::Several) => stats.inc(MongoCollection::MULTI_GET),
        Some(QueryClass::ById) | None => {}
    }
    stats.add(
        MongoCollection::DOCUMENTS_WRITTEN,
        exchange.part.documents_written,
    );
}

fn report_call_site(stats: &Scope<MongoCallsite>, exchange: &Exchange<MongoPart>, failed: bool) {
    stats.inc(MongoCallsite::TOTAL);
    if failed {
        stats.inc(MongoCallsite::ERROR);
    }
    match exchange.part.query_class {
        Some(QueryClass::Scatter) => stats.inc(MongoCallsite::SCATTER_GET),
        Some(QueryClass::Several) => stats.inc(MongoCallsite::MULTI_GET),
        Some(QueryClass::ById) | None => {}
    }
}

fn report_application(stats: &Scope<MongoApp>, failed: bool, micros: Option<Micros>) {
    stats.inc(MongoApp::TOTAL);
    if failed {
        stats.inc(MongoApp::ERROR);
    }
    if let Some(micros) = micros {
        stats.record(MongoApp::REPLY_TIME_MS, micros.upstream);
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
