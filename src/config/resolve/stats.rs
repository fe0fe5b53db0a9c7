//! Stats: intervals, limits and the statsd daemon.

use super::Resolver;
use crate::config::choices::STATSD_FLAVORS;
use crate::config::defaults::{self, STATS_INTERVAL_MAX, STATS_INTERVAL_MIN, STATS_LIMITS};
use crate::config::field::Field;
use crate::config::file::{LimitsFile, StatsFile, StatsdFile};
use crate::config::model::{StatsConfig, StatsLimits, StatsdConfig};
use crate::config::problem::Place;
use crate::config::values;

impl Resolver<'_> {
    pub(super) fn stats(&mut self, stats: &Field<StatsFile>) -> StatsConfig {
        let nothing = StatsFile::default();
        let StatsFile {
            enabled,
            interval,
            limits,
            statsd,
        } = stats.value().unwrap_or(&nothing);
        StatsConfig {
            enabled: enabled.value().copied().unwrap_or(true),
            interval: self.text(
                interval,
                defaults::STATS_INTERVAL,
                |text| match values::duration(text)? {
                    interval if (STATS_INTERVAL_MIN..=STATS_INTERVAL_MAX).contains(&interval) => {
                        Ok(interval)
                    }
                    _ => Err("has to be from 100ms to 5m".to_owned()),
                },
            ),
            limits: limits
                .value()
                .map_or(STATS_LIMITS, |limits| self.limits(limits)),
            statsd: statsd
                .given()
                .and_then(|(statsd, place)| self.statsd(statsd, place)),
        }
    }

    fn limits(&mut self, written: &LimitsFile) -> StatsLimits {
        let LimitsFile {
            commands,
            collections,
            call_sites,
            applications,
            error_codes,
            drivers,
            callers,
            grpc_methods,
            status_codes,
        } = written;
        let mut limit = |field, default| {
            let advice = "what does not fit is counted as `_other`";
            self.at_least_one(field, defaults::STATS_LIMIT_MAX, advice)
                .unwrap_or(default)
        };
        StatsLimits {
            commands: limit(commands, STATS_LIMITS.commands),
            collections: limit(collections, STATS_LIMITS.collections),
            call_sites: limit(call_sites, STATS_LIMITS.call_sites),
            applications: limit(applications, STATS_LIMITS.applications),
            error_codes: limit(error_codes, STATS_LIMITS.error_codes),
            drivers: limit(drivers, STATS_LIMITS.drivers),
            callers: limit(callers, STATS_LIMITS.callers),
            grpc_methods: limit(grpc_methods, STATS_LIMITS.grpc_methods),
            status_codes: limit(status_codes, STATS_LIMITS.status_codes),
        }
    }

    fn statsd(&mut self, written: &StatsdFile, place: Place) -> Option<StatsdConfig> {
        let address =
            self.required_text(&written.address, "address", place, values::statsd_address);
        let prefix = self.text(
            &written.prefix,
            defaults::STATSD_PREFIX.to_owned(),
            values::prefix,
        );
        let flavor = self.choice(
            Some(&written.flavor),
            &STATSD_FLAVORS,
            defaults::STATSD_FLAVOR,
        );
        Some(StatsdConfig {
            address: address?,
            prefix,
            flavor,
        })
    }
}
