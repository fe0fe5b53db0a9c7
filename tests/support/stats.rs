//! `/stats?format=json`, read so that tests can say what they expect.

use std::collections::BTreeMap;

use serde_json::Value;

/// A histogram as the page shows it.
#[derive(Clone, Debug)]
pub struct Histogram {
    pub count: u64,
    pub sum: f64,
    /// (quantile in percent, cumulative value in the unit of the name)
    pub quantiles: Vec<(f64, f64)>,
}

impl Histogram {
    /// The cumulative value at a quantile that the page shows.
    #[track_caller]
    pub fn at(&self, percent: f64) -> f64 {
        self.quantiles
            .iter()
            .find(|(quantile, _)| *quantile == percent)
            .unwrap_or_else(|| panic!("no quantile {percent} in {self:?}"))
            .1
    }
}

/// All statistics at one moment.
#[derive(Clone, Debug)]
pub struct Stats {
    pub values: BTreeMap<String, i64>,
    pub histograms: BTreeMap<String, Histogram>,
}

impl Stats {
    pub fn parse(json: &str) -> Self {
        let json: Value = serde_json::from_str(json).unwrap();
        let mut values = BTreeMap::new();
        let mut histograms = BTreeMap::new();
        for stat in json["stats"].as_array().unwrap() {
            match stat.get("histograms") {
                Some(all) => read_histograms(all, &mut histograms),
                None => {
                    let name = stat["name"].as_str().unwrap().to_string();
                    // Times have a fraction.
                    let value = stat["value"].as_i64();
                    let value = value.or_else(|| Some(stat["value"].as_f64()? as i64));
                    values.insert(name, value.unwrap());
                }
            }
        }
        Self { values, histograms }
    }

    /// A counter or gauge; one that was never used is 0.
    pub fn value(&self, name: &str) -> i64 {
        self.values.get(name).copied().unwrap_or(0)
    }

    #[track_caller]
    pub fn histogram(&self, name: &str) -> &Histogram {
        self.histograms.get(name).unwrap_or_else(|| {
            panic!(
                "no histogram {name}; there are {:#?}",
                self.histograms.keys()
            )
        })
    }

    /// How often a histogram was recorded to; 0 when it never was.
    pub fn count(&self, name: &str) -> u64 {
        self.histograms
            .get(name)
            .map_or(0, |histogram| histogram.count)
    }

    #[track_caller]
    pub fn expect(&self, name: &str, value: i64) -> &Self {
        assert_eq!(
            self.value(name),
            value,
            "{name}; near it: {:#?}",
            self.like(name)
        );
        self
    }

    #[track_caller]
    pub fn expect_count(&self, name: &str, count: u64) -> &Self {
        assert_eq!(self.count(name), count, "recordings of {name}");
        self
    }

    /// Values that share the first two words of the name: what a failed test wants to see.
    fn like(&self, name: &str) -> BTreeMap<&String, &i64> {
        let prefix: String = name.split_inclusive('.').take(2).collect();
        self.values
            .iter()
            .filter(|(name, value)| name.starts_with(&prefix) && **value != 0)
            .collect()
    }
}

fn read_histograms(all: &Value, into: &mut BTreeMap<String, Histogram>) {
    let quantiles: Vec<f64> = all["supported_quantiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|quantile| quantile.as_f64().unwrap())
        .collect();
    for histogram in all["computed_quantiles"].as_array().unwrap() {
        let values = histogram["values"].as_array().unwrap();
        let cumulative = values
            .iter()
            .map(|value| value["cumulative"].as_f64().unwrap_or(f64::NAN));
        into.insert(
            histogram["name"].as_str().unwrap().to_string(),
            Histogram {
                count: histogram["count"].as_u64().unwrap(),
                sum: histogram["sum"].as_f64().unwrap(),
                quantiles: quantiles.iter().copied().zip(cumulative).collect(),
            },
        );
    }
}
