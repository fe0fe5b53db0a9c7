//! The choice among clusters that share the requests of a route.

use crate::config::WeightedCluster;

/// Clusters that share requests, by their places in the listener's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedClusters {
    /// The last one that gets requests.
    last: usize,
    /// The others, each with the sum of the weights up to its own.
    others: Box<[(usize, u64)]>,
    total: u64,
}

impl WeightedClusters {
    /// The clusters with their weights; at least one of them has one.
    pub(super) fn new(shares: &[WeightedCluster]) -> Self {
        let mut total = 0;
        let weighted = shares.iter().filter(|share| share.weight > 0);
        let mut summed: Vec<_> = weighted
            .map(|share| {
                total += u64::from(share.weight);
                (share.cluster, total)
            })
            .collect();
        let last = summed.pop().map_or(0, |(cluster, _)| cluster);
        Self {
            last,
            others: summed.into(),
            total,
        }
    }

    /// The cluster for one request. `random` is any number, each as likely as the other.
    pub fn pick(&self, random: u64) -> usize {
        if self.others.is_empty() {
            return self.last;
        }
        // The upper half of the product is a number below the total, each as likely as the other but for one in 2^40.
        let below_total = (u128::from(random) * u128::from(self.total)) >> 64;
        let chosen = self
            .others
            .iter()
            .find(|(_, upto)| below_total < u128::from(*upto));
        chosen.map_or(self.last, |(cluster, _)| *cluster)
    }

    /// Every cluster that gets requests.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let others = self.others.iter().map(|(cluster, _)| *cluster);
        others.chain([self.last])
    }

    /// The only cluster, if there is one: no random number is needed then.
    pub fn only(&self) -> Option<usize> {
        self.others.is_empty().then_some(self.last)
    }
}
