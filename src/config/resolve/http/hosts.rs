//! Virtual hosts: each for itself, and that no domain and no route is there twice.

use std::collections::HashMap;

use super::super::{Resolver, first_at};
use super::{Routing, texts};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{RouteFile, VirtualHostFile};
use crate::config::masking::quoted;
use crate::config::model::{Domain, VirtualHost};
use crate::config::problem::Place;
use crate::config::values;

impl Resolver<'_> {
    /// `default` is the cluster of the route to which the name `default` belongs.
    pub(super) fn virtual_hosts(
        &mut self,
        written: &Field<Vec<Field<VirtualHostFile>>>,
        default: Option<&String>,
        routing: &mut Routing,
    ) -> Vec<VirtualHost> {
        let Some((hosts, list)) = written.given() else {
            return Vec::new();
        };
        if hosts.is_empty() {
            self.problem(list, "no virtual hosts; leave the key out to have none");
        }
        let each = || hosts.iter().filter_map(Field::value);
        self.names_are_distinct("virtual host", each().map(|host| &host.name));
        let routes = || {
            let lists = each().filter_map(|host| host.routes.value());
            lists.flatten().filter_map(Field::value)
        };
        self.names_are_distinct("route", routes().map(|route| &route.name));
        if default.is_some() {
            self.default_is_taken(routes());
        }
        self.domains_are_distinct(each());
        hosts
            .iter()
            .filter_map(Field::given)
            .filter_map(|(host, place)| self.virtual_host(host, place, routing))
            .collect()
    }

    fn virtual_host(
        &mut self,
        written: &VirtualHostFile,
        place: Place,
        routing: &mut Routing,
    ) -> Option<VirtualHost> {
        let VirtualHostFile {
            name,
            domains,
            request_headers,
            response_headers,
            routes,
        } = written;
        let name = self.required_text(name, "name", place, values::name);
        let domains = self.domains(domains, place);
        let request_headers = self.header_edits(request_headers);
        let response_headers = self.header_edits(response_headers);
        let routes = self.routes(routes, place, routing);
        Some(VirtualHost {
            name: name?,
            domains,
            request_headers,
            response_headers,
            routes,
        })
    }

    fn domains(&mut self, written: &Field<Vec<Field<String>>>, place: Place) -> Vec<Domain> {
        let Some((domains, list)) = self.required(written, "domains", place) else {
            return Vec::new();
        };
        if domains.is_empty() {
            self.problem(list, "no domains; `*` is for all that no other host takes");
        }
        let domains = domains.iter().filter_map(Field::given);
        domains
            .filter_map(|(text, place)| self.read(text, place, texts::domain))
            .collect()
    }

    fn domains_are_distinct<'a>(&mut self, hosts: impl Iterator<Item = &'a VirtualHostFile>) {
        let mut seen: HashMap<Domain, Place> = HashMap::new();
        let lists = hosts.filter_map(|host| host.domains.value());
        for (text, place) in lists.flatten().filter_map(Field::given) {
            let Ok(domain) = texts::domain(text) else {
                continue;
            };
            match seen.get(&domain) {
                Some(first) => self.problem(
                    place,
                    format!("a second domain {}{}", quoted(text), first_at(*first)),
                ),
                None => {
                    seen.insert(domain, place);
                }
            }
        }
    }

    fn default_is_taken<'a>(&mut self, routes: impl Iterator<Item = &'a RouteFile>) {
        for (name, place) in routes.filter_map(|route| route.name.given()) {
            if name == defaults::HTTP_DEFAULT_ROUTE {
                self.problem(
                    place,
                    format!("`{name}` is the name of the route to the listener's `cluster`"),
                );
            }
        }
    }
}
