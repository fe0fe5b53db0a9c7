//! Routes: what becomes of requests.

use std::time::Duration;

use super::super::Resolver;
use super::{Routing, texts};
use crate::config::choices::{REDIRECT_STATUSES, SCHEMES};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{RedirectFile, RespondFile, RouteFile, WeightedClusterFile};
use crate::config::masking::quoted;
use crate::config::model::{
    ForwardConfig, PathMatch, RedirectConfig, RedirectPath, RespondConfig, RouteAction,
    WeightedCluster,
};
use crate::config::problem::Place;

impl Resolver<'_> {
    pub(super) fn action(
        &mut self,
        written: &RouteFile,
        place: Place,
        path: Option<&PathMatch>,
        routing: &mut Routing,
    ) -> Option<RouteAction> {
        let RouteFile {
            cluster,
            clusters,
            redirect,
            respond,
            ..
        } = written;
        self.only_one(
            place,
            "route",
            "it says what becomes of requests",
            &[
                ("cluster", cluster.is_absent(), cluster.place()),
                ("clusters", clusters.is_absent(), clusters.place()),
                ("redirect", redirect.is_absent(), redirect.place()),
                ("respond", respond.is_absent(), respond.place()),
            ],
        );
        // All of them are looked at, also those that are too many.
        let redirected = redirect.given().and_then(|(redirect, place)| {
            let resolved = self.redirect(redirect, path);
            if written.headers.is_absent() && leads_back(redirect, &resolved, path?) {
                self.problem(
                    place,
                    "the client would be sent to where it is; a redirect changes scheme, host or path",
                );
            }
            Some(resolved)
        });
        let responded = respond
            .given()
            .map(|(respond, place)| self.respond(respond, place));
        let forwarded = self.forward(written, path, routing);
        if !redirect.is_absent() || !respond.is_absent() {
            self.nothing_to_forward(written);
            let redirected = redirected.map(RouteAction::Redirect);
            return redirected.or(responded.flatten().map(RouteAction::Respond));
        }
        forwarded.map(RouteAction::Forward)
    }

    fn forward(
        &mut self,
        written: &RouteFile,
        path: Option<&PathMatch>,
        routing: &mut Routing,
    ) -> Option<ForwardConfig> {
        let single = written.cluster.value().map(|name| {
            let cluster = routing.cluster(name);
            vec![WeightedCluster { cluster, weight: 1 }]
        });
        let weighted = written
            .clusters
            .given()
            .map(|(clusters, list)| self.weighted_clusters(clusters, list, routing));
        let prefix_rewrite = self.rewrite(&written.prefix_rewrite, path);
        let host_rewrite = self.optional(&written.host_rewrite, texts::authority);
        Some(ForwardConfig {
            clusters: single.or(weighted)?,
            prefix_rewrite,
            host_rewrite,
        })
    }

    fn weighted_clusters(
        &mut self,
        written: &[Field<WeightedClusterFile>],
        list: Place,
        routing: &mut Routing,
    ) -> Vec<WeightedCluster> {
        let mut clusters: Vec<WeightedCluster> = Vec::new();
        for (each, place) in written.iter().filter_map(Field::given) {
            let name = self.required(&each.cluster, "cluster", place);
            self.required(&each.weight, "weight", place);
            let weight = self.at_most(&each.weight, defaults::HTTP_WEIGHT_MAX);
            let Some((name, place)) = name else {
                continue;
            };
            let cluster = routing.cluster(name);
            if clusters.iter().any(|known| known.cluster == cluster) {
                self.problem(place, format!("cluster {} is listed twice", quoted(name)));
            }
            // Where the weight is of no use, that has been said: it is not zero.
            let weight = weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(u32::MAX));
            clusters.push(WeightedCluster { cluster, weight });
        }
        if written.is_empty() {
            self.problem(list, "no clusters; a route needs one to send to");
        } else if !clusters.is_empty() && clusters.iter().all(|cluster| cluster.weight == 0) {
            self.problem(list, "all weights are 0; no cluster would get a request");
        }
        clusters
    }

    /// What stands in the place of what was matched.
    fn rewrite(&mut self, written: &Field<String>, path: Option<&PathMatch>) -> Option<String> {
        let (text, place) = written.given()?;
        let rewrite = self.read(text, place, texts::path)?;
        match path {
            Some(PathMatch::Regex(_) | PathMatch::Any) => self.problem(
                place,
                "`prefix_rewrite` takes the place of `prefix` or `path`; this route has neither",
            ),
            Some(PathMatch::Prefix(prefix)) if prefix.ends_with('/') && !rewrite.ends_with('/') => {
                self.problem(
                    place,
                    format!(
                        "{} would run into what follows: `{prefix}a` becomes `{rewrite}a`; did you mean `{rewrite}/`?",
                        quoted(text)
                    ),
                );
            }
            _ => {}
        }
        Some(rewrite)
    }

    /// What only forwarding uses.
    fn nothing_to_forward(&mut self, written: &RouteFile) {
        let settings = [
            ("prefix_rewrite", written.prefix_rewrite.place()),
            ("host_rewrite", written.host_rewrite.place()),
            ("timeout", written.timeout.place()),
            ("idle_timeout", written.idle_timeout.place()),
            ("request_headers", written.request_headers.place()),
        ];
        for (key, place) in settings {
            if let Some(place) = place {
                self.problem(
                    place,
                    format!("`{key}` belongs to routes that forward; this one answers itself"),
                );
            }
        }
    }

    pub(super) fn route_timeouts(
        &mut self,
        written: &RouteFile,
        routing: &Routing,
    ) -> (Option<Duration>, Option<Duration>) {
        (
            self.duration_or_never(&written.timeout, defaults::HTTP_ROUTE_TIMEOUT),
            self.duration_or_never(&written.idle_timeout, routing.idle_timeout),
        )
    }

    fn redirect(&mut self, written: &RedirectFile, matched: Option<&PathMatch>) -> RedirectConfig {
        let RedirectFile {
            status,
            scheme,
            host,
            path,
            prefix_rewrite,
            strip_query,
        } = written;
        let status = self.redirect_status(status);
        let scheme = self.optional(scheme, |word| SCHEMES.read(word));
        let host = self.optional(host, texts::authority);
        let whole = self.optional(path, texts::path).map(RedirectPath::Whole);
        let rewrite = self
            .rewrite(prefix_rewrite, matched)
            .map(RedirectPath::Prefix);
        if let (Some(_), Some(second)) = (path.place(), prefix_rewrite.place()) {
            self.problem(
                second,
                "`prefix_rewrite` besides `path`; the one replaces all of the path, the other its beginning",
            );
        }
        RedirectConfig {
            status,
            scheme,
            host,
            path: whole.or(rewrite),
            keep_query: !strip_query.value().copied().unwrap_or(false),
        }
    }

    fn redirect_status(&mut self, written: &Field<u64>) -> u16 {
        let Some((number, place)) = written.given() else {
            return defaults::HTTP_REDIRECT_STATUS;
        };
        let known = |status: &&u16| u64::from(**status) == *number;
        let status = REDIRECT_STATUSES.iter().find(known);
        if status.is_none() {
            self.problem(place, "has to be 301, 302, 303, 307 or 308");
        }
        status.copied().unwrap_or(defaults::HTTP_REDIRECT_STATUS)
    }

    fn respond(&mut self, written: &RespondFile, place: Place) -> Option<RespondConfig> {
        let RespondFile { status, body } = written;
        let status = self.required(status, "status", place);
        let range = defaults::HTTP_RESPOND_STATUS_MIN..=defaults::HTTP_RESPOND_STATUS_MAX;
        let text = self.optional(body, texts::body(defaults::HTTP_RESPOND_BODY_MAX));
        let text = text.unwrap_or_default();
        let (number, status_place) = status?;
        if !range.contains(number) {
            self.problem(
                status_place,
                format!("has to be from {} to {}", range.start(), range.end()),
            );
            return None;
        }
        // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
        if let (204 | 205 | 304, Some(place)) = (number, body.place())
            && !text.is_empty()
        {
            self.problem(place, format!("a reply with status {number} has no body"));
        }
        Some(RespondConfig {
            status: u16::try_from(*number).ok()?,
            body: text,
        })
    }
}

/// Whether the route that sent a client elsewhere would take it again. `false` where a mistake hides what was meant.
fn leads_back(written: &RedirectFile, redirect: &RedirectConfig, matched: &PathMatch) -> bool {
    let RedirectConfig {
        status: _,
        scheme: None,
        host: None,
        path,
        keep_query: _,
    } = redirect
    else {
        return false;
    };
    let texts = [
        &written.scheme,
        &written.host,
        &written.path,
        &written.prefix_rewrite,
    ];
    let understood = texts.iter().filter(|text| !text.is_absent()).count();
    understood == usize::from(path.is_some()) && stays(matched, path.as_ref())
}

/// Whether a path that was matched is matched again.
fn stays(matched: &PathMatch, path: Option<&RedirectPath>) -> bool {
    match (path, matched) {
        (None, _) => true,
        (Some(RedirectPath::Prefix(to)), PathMatch::Prefix(from) | PathMatch::Exact(from))
        | (Some(RedirectPath::Whole(to)), PathMatch::Exact(from)) => to == from,
        (Some(RedirectPath::Whole(to)), PathMatch::Prefix(from)) => to.starts_with(from.as_str()),
        (Some(RedirectPath::Whole(to)), PathMatch::Regex(from)) => from.is_match(to.as_bytes()),
        _ => false,
    }
}
