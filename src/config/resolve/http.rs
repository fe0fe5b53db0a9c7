//! HTTP: what a listener does with requests.

mod actions;
mod headers;
mod hosts;
mod reach;
mod routes;

use std::time::Duration;

use super::Resolver;
use crate::config::choices::{FORWARDED_PROTOS, HTTP_MODES, HTTP_VERSIONS, UNDERSCORES};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{ForwardedFile, HttpFile, ListenerFile};
use crate::config::masking::quoted;
use crate::config::model::{
    ForwardConfig, ForwardedConfig, ForwardedProto, HeaderEditsConfig, HttpConfig, HttpMode,
    HttpVersion, HttpVersions, PathMatch, RouteAction, RouteConfig, Underscores, WeightedCluster,
};
use crate::config::problem::Place;
use crate::config::values::{self, http as texts};

/// What the routes of a listener have in common.
struct Routing {
    /// Names of clusters, in the order in which they are met.
    clusters: Vec<String>,
    idle_timeout: Option<Duration>,
    allow_connect: bool,
    underscores: Underscores,
}

impl Routing {
    /// The place of a cluster in the listener's list.
    fn cluster(&mut self, name: &str) -> usize {
        let known = self.clusters.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.clusters.push(name.to_owned());
            self.clusters.len() - 1
        })
    }
}

impl Resolver<'_> {
    /// What the listener does, and the clusters that its routes refer to.
    pub(super) fn http(
        &mut self,
        listener: &ListenerFile,
        place: Place,
    ) -> (HttpConfig, Vec<String>) {
        let nothing = HttpFile::default();
        let http = listener.http.value().unwrap_or(&nothing);
        let mode = self.chosen(&http.mode, &HTTP_MODES, defaults::HTTP_MODE);
        let mut routing = Routing {
            clusters: Vec::new(),
            idle_timeout: self
                .duration_or_never(&http.idle_timeout, defaults::HTTP_STREAM_IDLE_TIMEOUT),
            allow_connect: http.allow_connect.value().copied().unwrap_or(false),
            underscores: self.choice(
                Some(&http.underscores),
                &UNDERSCORES,
                defaults::HTTP_UNDERSCORES,
            ),
        };
        let mut config = self.settings(http, &routing);
        config.mode = mode.unwrap_or(defaults::HTTP_MODE);
        if config.mode == HttpMode::Tap {
            self.nothing_for_proxies(http);
            if let Some((name, _)) = self.required(&listener.cluster, "cluster", place) {
                let cluster = routing.cluster(name);
                config.default_route = Some(default_route(cluster, None));
            }
            return (config, routing.clusters);
        }
        let default = listener.cluster.value();
        config.default_route = default.map(|name| {
            let cluster = routing.cluster(name);
            default_route(cluster, routing.idle_timeout)
        });
        config.virtual_hosts = self.virtual_hosts(&http.virtual_hosts, default, &mut routing);
        if listener.cluster.is_absent() && http.virtual_hosts.is_absent() {
            self.problem(
                place,
                "nothing says where requests go; write a `cluster`, or `virtual_hosts` below `http`",
            );
        }
        (config, routing.clusters)
    }
}

impl Resolver<'_> {
    /// Everything but the mode and the routes.
    fn settings(&mut self, http: &HttpFile, routing: &Routing) -> HttpConfig {
        let max_headers = self.at_least_one(
            &http.max_headers,
            defaults::HTTP_HEADERS_MAX,
            "every request has one",
        );
        HttpConfig {
            mode: defaults::HTTP_MODE,
            versions: self.versions(&http.versions),
            caller_header: self.caller_header(&http.caller_header, routing),
            forwarded: self.forwarded(&http.forwarded),
            underscores: routing.underscores,
            allow_connect: routing.allow_connect,
            max_head: self.max_head(&http.max_head),
            max_headers: max_headers.unwrap_or(defaults::HTTP_MAX_HEADERS),
            max_body: self
                .size(&http.max_body, defaults::HTTP_MAX_BODY)
                .filter(|max| *max != 0),
            header_timeout: self
                .duration_or_never(&http.header_timeout, defaults::HTTP_HEADER_TIMEOUT),
            stream_idle_timeout: routing.idle_timeout,
            request_timeout: self
                .duration_or_never(&http.request_timeout, defaults::HTTP_REQUEST_TIMEOUT),
            max_streams: self.max_streams(&http.max_streams),
            virtual_hosts: Vec::new(),
            default_route: None,
        }
    }

    fn versions(&mut self, written: &Field<Vec<Field<String>>>) -> HttpVersions {
        let Some((words, list)) = written.given() else {
            return defaults::HTTP_VERSIONS;
        };
        if words.is_empty() {
            self.problem(list, "no versions; clients have to speak one");
        }
        let mut versions = HttpVersions {
            http1: false,
            http2: false,
        };
        for (word, place) in words.iter().filter_map(Field::given) {
            let spoken = match self.read(word, place, |word| HTTP_VERSIONS.read(word)) {
                Some(HttpVersion::Http1) => &mut versions.http1,
                Some(HttpVersion::Http2) => &mut versions.http2,
                None => continue,
            };
            if std::mem::replace(spoken, true) {
                self.problem(place, format!("version {} is listed twice", quoted(word)));
            }
        }
        versions
    }

    fn caller_header(&mut self, written: &Field<String>, routing: &Routing) -> Option<String> {
        let (_, place) = written.given()?;
        let name = self.matched_header(written, routing)?;
        if SECRET_HEADERS.contains(&name.as_str()) {
            self.problem(
                place,
                format!("the values of `{name}` are secrets, and would become labels of stats"),
            );
        }
        Some(name)
    }

    /// The name of a header that requests can have here.
    fn matched_header(&mut self, written: &Field<String>, routing: &Routing) -> Option<String> {
        let (text, place) = written.given()?;
        let name = self.read(text, place, texts::header_name)?;
        let word = UNDERSCORES.word(routing.underscores);
        if name.contains('_') && routing.underscores != Underscores::Allow {
            self.problem(
                place,
                format!(
                    "{} has an underscore, and no such header comes through here (`underscores: {word}`)",
                    quoted(text)
                ),
            );
        }
        Some(name)
    }

    fn forwarded(&mut self, written: &Field<ForwardedFile>) -> ForwardedConfig {
        let nothing = ForwardedFile::default();
        let ForwardedFile {
            trusted_hops,
            append,
            proto,
        } = written.value().unwrap_or(&nothing);
        let hops = self.at_most(trusted_hops, defaults::HTTP_TRUSTED_HOPS_MAX);
        let default = match hops {
            None | Some(0) => ForwardedProto::Set,
            Some(_) => ForwardedProto::Keep,
        };
        let proto_word = self.choice(Some(proto), &FORWARDED_PROTOS, default);
        let nobody = trusted_hops.is_absent() || hops == Some(0);
        if let Some(place) = proto.place()
            && nobody
            && proto_word == ForwardedProto::Keep
        {
            self.problem(
                place,
                "`keep` believes whoever connects; it needs `trusted_hops` of at least 1",
            );
        }
        ForwardedConfig {
            trusted_hops: hops.unwrap_or_default(),
            append: append.value().copied().unwrap_or(true),
            proto: proto_word,
        }
    }

    fn max_head(&mut self, written: &Field<String>) -> usize {
        let range = defaults::HTTP_HEAD_MIN..=defaults::HTTP_HEAD_MAX;
        let size = self.text(written, None, |text| match values::size(text)? {
            size if range.contains(&size) => Ok(Some(size)),
            _ => Err(format!(
                "has to be from {} to {}",
                values::size_text(*range.start()),
                values::size_text(*range.end())
            )),
        });
        size.and_then(|size| usize::try_from(size).ok())
            .unwrap_or(defaults::HTTP_MAX_HEAD)
    }

    fn size(&mut self, written: &Field<String>, default: Option<u64>) -> Option<u64> {
        self.text(written, default, |text| values::size(text).map(Some))
    }

    pub(super) fn max_streams(&mut self, written: &Field<u64>) -> u32 {
        let advice = "at 0 no request could be sent";
        self.at_least_one(written, defaults::HTTP_STREAMS_MAX, advice)
            .and_then(|streams| u32::try_from(streams).ok())
            .unwrap_or(defaults::HTTP_MAX_STREAMS)
    }

    /// What would change bytes or end exchanges has no place in mode tap.
    fn nothing_for_proxies(&mut self, http: &HttpFile) {
        let HttpFile {
            mode: _,
            versions: _,
            caller_header: _,
            forwarded,
            underscores,
            allow_connect,
            max_head,
            max_headers,
            max_body,
            header_timeout,
            idle_timeout,
            request_timeout,
            max_streams,
            virtual_hosts,
        } = http;
        let settings = [
            ("forwarded", forwarded.place()),
            ("underscores", underscores.place()),
            ("allow_connect", allow_connect.place()),
            ("max_head", max_head.place()),
            ("max_headers", max_headers.place()),
            ("max_body", max_body.place()),
            ("header_timeout", header_timeout.place()),
            ("idle_timeout", idle_timeout.place()),
            ("request_timeout", request_timeout.place()),
            ("max_streams", max_streams.place()),
            ("virtual_hosts", virtual_hosts.place()),
        ];
        for (key, place) in settings {
            if let Some(place) = place {
                self.problem(
                    place,
                    format!("`{key}` belongs to mode proxy; in mode tap all bytes pass unchanged"),
                );
            }
        }
    }
}

/// The route of requests that no other takes.
fn default_route(cluster: usize, idle_timeout: Option<Duration>) -> RouteConfig {
    RouteConfig {
        name: defaults::HTTP_DEFAULT_ROUTE.to_owned(),
        path: PathMatch::Any,
        methods: Vec::new(),
        headers: Vec::new(),
        action: RouteAction::Forward(ForwardConfig {
            clusters: vec![WeightedCluster { cluster, weight: 1 }],
            prefix_rewrite: None,
            host_rewrite: None,
        }),
        request_headers: HeaderEditsConfig::default(),
        response_headers: HeaderEditsConfig::default(),
        timeout: defaults::HTTP_ROUTE_TIMEOUT,
        idle_timeout,
    }
}

/// Headers whose values are credentials.
const SECRET_HEADERS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
];
