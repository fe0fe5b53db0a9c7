//! Routes: which requests are meant.

use super::super::Resolver;
use super::{Routing, reach, texts};
use crate::config::field::Field;
use crate::config::file::{HeaderMatchFile, RouteFile};
use crate::config::masking::quoted;
use crate::config::model::{HeaderMatch, PathMatch, RouteConfig, ValueMatch};
use crate::config::problem::Place;
use crate::config::values;
use crate::pattern::Pattern;

impl Resolver<'_> {
    pub(super) fn routes(
        &mut self,
        written: &Field<Vec<Field<RouteFile>>>,
        place: Place,
        routing: &mut Routing,
    ) -> Vec<RouteConfig> {
        let Some((routes, list)) = self.required(written, "routes", place) else {
            return Vec::new();
        };
        if routes.is_empty() {
            self.problem(list, "no routes; every request would get status 404");
        }
        let mut resolved: Vec<(RouteConfig, Place)> = Vec::new();
        for (written, place) in routes.iter().filter_map(Field::given) {
            let Some(route) = self.route(written, place, routing) else {
                continue;
            };
            let place = written.name.place().unwrap_or(place);
            if let Some(problem) = reach::is_shadowed(&route, &resolved) {
                self.problem(place, problem);
            }
            resolved.push((route, place));
        }
        resolved.into_iter().map(|(route, _)| route).collect()
    }

    fn route(
        &mut self,
        written: &RouteFile,
        place: Place,
        routing: &mut Routing,
    ) -> Option<RouteConfig> {
        let name = self.required_text(&written.name, "name", place, values::name);
        let path = self.path(written, place);
        let methods = self.methods(&written.methods, routing);
        let headers = self.header_matches(&written.headers, routing);
        let action = self.action(written, place, path.as_ref(), routing);
        let request_headers = self.header_edits(&written.request_headers);
        let response_headers = self.header_edits(&written.response_headers);
        let timeouts = self.route_timeouts(written, routing);
        Some(RouteConfig {
            name: name?,
            path: path?,
            methods,
            headers,
            action: action?,
            request_headers,
            response_headers,
            timeout: timeouts.0,
            idle_timeout: timeouts.1,
        })
    }

    fn path(&mut self, written: &RouteFile, place: Place) -> Option<PathMatch> {
        let RouteFile {
            path,
            prefix,
            regex,
            ..
        } = written;
        self.only_one(
            place,
            "route",
            "`prefix: /` is for any path",
            &[
                ("path", path.is_absent(), path.place()),
                ("prefix", prefix.is_absent(), prefix.place()),
                ("regex", regex.is_absent(), regex.place()),
            ],
        );
        let exact = self.optional(path, texts::path).map(PathMatch::Exact);
        let prefix = self.optional(prefix, texts::path).map(PathMatch::Prefix);
        let regex = self.optional(regex, pattern).map(PathMatch::Regex);
        exact.or(prefix).or(regex)
    }

    fn methods(&mut self, written: &Field<Vec<Field<String>>>, routing: &Routing) -> Vec<String> {
        let Some((words, list)) = written.given() else {
            return Vec::new();
        };
        if words.is_empty() {
            self.problem(list, "no methods; leave the key out for any");
        }
        let mut methods = Vec::new();
        for (word, place) in words.iter().filter_map(Field::given) {
            let Some(method) = self.read(word, place, texts::method) else {
                continue;
            };
            if methods.contains(&method) {
                self.problem(place, format!("method {} is listed twice", quoted(word)));
            } else if method == "CONNECT" && !routing.allow_connect {
                self.problem(
                    place,
                    "CONNECT is refused before routes are looked at, unless `allow_connect` is true",
                );
            } else {
                methods.push(method);
            }
        }
        methods
    }

    fn header_matches(
        &mut self,
        written: &Field<Vec<Field<HeaderMatchFile>>>,
        routing: &Routing,
    ) -> Vec<HeaderMatch> {
        let headers = written.value().into_iter().flatten();
        headers
            .filter_map(Field::given)
            .filter_map(|(header, place)| self.header_match(header, place, routing))
            .collect()
    }

    fn header_match(
        &mut self,
        written: &HeaderMatchFile,
        place: Place,
        routing: &Routing,
    ) -> Option<HeaderMatch> {
        let HeaderMatchFile {
            name: written_name,
            value,
            present,
            regex,
        } = written;
        self.required(written_name, "name", place);
        let name = self.matched_header(written_name, routing);
        if name.as_deref() == Some("host") {
            let place = written_name.place().unwrap_or(place);
            self.problem(
                place,
                "which hosts are meant is said by `domains` of the virtual host",
            );
        }
        self.only_one(
            place,
            "header",
            "`present: true` is for any value",
            &[
                ("value", value.is_absent(), value.place()),
                ("present", present.is_absent(), present.place()),
                ("regex", regex.is_absent(), regex.place()),
            ],
        );
        let exact = self
            .optional(value, texts::header_value)
            .map(ValueMatch::Exact);
        let present = present.value().map(|present| match present {
            true => ValueMatch::Present,
            false => ValueMatch::Absent,
        });
        let regex = self.optional(regex, pattern).map(ValueMatch::Regex);
        Some(HeaderMatch {
            name: name?,
            value: exact.or(present).or(regex)?,
        })
    }

    /// Reports when none of several keys is written, or more than one. Each comes with whether it is absent, and its
    /// place if it is of use.
    pub(super) fn only_one(
        &mut self,
        place: Place,
        what: &str,
        advice: &str,
        keys: &[(&str, bool, Option<Place>)],
    ) {
        let names: Vec<_> = keys.iter().map(|(key, ..)| format!("`{key}`")).collect();
        let Some((last, others)) = names.split_last() else {
            return;
        };
        let all = format!("{} or {last}", others.join(", "));
        let mut written = keys.iter().filter(|(_, is_absent, _)| !is_absent);
        let Some((first, ..)) = written.next() else {
            self.problem(place, format!("missing {all}; {advice}"));
            return;
        };
        for (key, _, place) in written {
            if let Some(place) = place {
                self.problem(
                    *place,
                    format!("`{key}` besides `{first}`; a {what} has one of {all}"),
                );
            }
        }
    }

    /// A text that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        field: &Field<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, place) = field.given()?;
        self.read(text, place, read)
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text)
        .map_err(|mistake| format!("{} is not a regular expression: {mistake}", quoted(text)))
}
