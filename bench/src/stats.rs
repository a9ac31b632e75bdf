//! Medians, ranges, and whether two samples differ by more than noise.
//!
//! Times of starts are skewed and have outliers (a compaction, a neighbour), so nothing here is about means or assumes a
//! bell curve. Two questions are asked of two samples, and both must agree before a difference counts:
//!
//! - the rank test of Mann and Whitney (1947), as Go's `benchstat` and Google Benchmark's `compare.py` use it: could both be
//!   of one distribution? Exact for small samples without ties. With three values each it can't say anything below 0.1, which
//!   is right: three values prove nothing.
//! - the percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13) of the ratio of
//!   medians: how large is the difference, and how sure is that? Kalibera and Jones ("Rigorous Benchmarking in Reasonable
//!   Time", ISMM 2013) argue for such intervals of ratios in place of bare tests.

/// Median, and between which values eight of ten lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The tenth percentile.
    pub low: f64,
    /// The ninetieth.
    pub high: f64,
}

/// The value below which `part` of the sorted values lie, by the nearest rank; 0 where there is none.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among a few hundred values")]
    let rank = (last as f64 * part).round() as usize;
    sorted[rank.min(last)]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// Median, tenth and ninetieth percentile.
pub fn spread(values: &[f64]) -> Spread {
    let sorted = sorted(values);
    Spread { median: quantile(&sorted, 0.5), low: quantile(&sorted, 0.1), high: quantile(&sorted, 0.9) }
}

/// Up to so many values in both samples together the rank test counts all orders; above, the bell curve is close enough.
const EXACT: usize = 50;

/// How likely it is that samples of one distribution differ at least as much as these do, in either direction.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len(), b.len());
    if n == 0 || m == 0 {
        return 1.0;
    }
    let below = |x: &f64, y: &f64| if x < y { 1.0 } else { f64::from(u8::from(x == y)) / 2.0 };
    let u: f64 = a.iter().map(|x| b.iter().map(|y| below(y, x)).sum::<f64>()).sum();
    let all = sorted(&[a, b].concat());
    let ties: Vec<f64> = all.chunk_by(|x, y| x == y).map(|tie| tie.len() as f64).collect();
    let u = u.min((n * m) as f64 - u);
    if ties.iter().all(|tie| *tie < 2.0) && n + m <= EXACT { exact(n, m, u) } else { approximate(n, m, u, &ties) }
}

/// By counting in how many of all orders the statistic is at most `u`.
fn exact(n: usize, m: usize, u: f64) -> f64 {
    // ways[i][s]: choices of i of the first values whose statistic is s; the recurrence of Mann and Whitney.
    let most = n * m;
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in 0..n + m {
        for i in (1..=n.min(rank + 1)).rev() {
            // The value of this rank becomes the i-th of the first sample: rank - (i - 1) of the second lie below it.
            let below = rank + 1 - i;
            if below > m {
                continue;
            }
            for s in (below..=most).rev() {
                let more = ways[i - 1][s - below];
                ways[i][s] += more;
            }
        }
    }
    let total: f64 = ways[n].iter().sum();
    let within: f64 = ways[n].iter().enumerate().filter(|(s, _)| *s as f64 <= u).map(|(_, count)| count).sum();
    (2.0 * within / total).min(1.0)
}

/// By the normal distribution, corrected for ties and for the step between whole numbers.
fn approximate(n: usize, m: usize, u: f64, ties: &[f64]) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let tied: f64 = ties.iter().map(|t| t.powi(3) - t).sum();
    let variance = n * m / 12.0 * ((all + 1.0) - tied / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (n * m / 2.0 - u - 0.5).max(0.0) / variance.sqrt();
    tail(z).min(1.0)
}

/// Both tails of the normal distribution beyond `z`: the complementary error function of z / √2, after Abramowitz and Stegun,
/// 7.1.26, which is exact to 1.5e-7.
fn tail(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    t * series.iter().rev().fold(0.0, |sum, c| sum * t + c) * (-x * x).exp()
}

/// How often the bootstrap draws.
const DRAWS: usize = 2000;

/// A median, and the median that it is divided by where there is a reference.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The values.
    pub values: &'a [f64],
    /// Those of the reference in the same run.
    pub reference: Option<&'a [f64]>,
}

impl Sample<'_> {
    /// The median, divided by the reference's.
    pub fn figure(&self) -> f64 {
        median(self.values) / self.reference.map_or(1.0, median)
    }

    fn drawn(&self, numbers: &mut Numbers) -> f64 {
        median(&numbers.draw(self.values)) / self.reference.map_or(1.0, |values| median(&numbers.draw(values)))
    }
}

/// The interval that holds the ratio of the figures of `after` and `before` with 99 %.
pub fn interval(before: &Sample<'_>, after: &Sample<'_>) -> (f64, f64) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let drawn: Vec<f64> = (0..DRAWS).map(|_| after.drawn(&mut numbers) / before.drawn(&mut numbers)).collect();
    let drawn = sorted(&drawn);
    (quantile(&drawn, 0.005), quantile(&drawn, 0.995))
}

/// A sequence that is the same at every run (xorshift64*, Vigna 2016): two readers of two reports see one verdict.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// As many values, each any of them.
    fn draw(&mut self, values: &[f64]) -> Vec<f64> {
        let count = values.len() as u64;
        // The upper half: the lower bits of such a sequence are the worse ones.
        let any = |number: u64| values[((number >> 32) % count) as usize];
        values.iter().map(|_| any(self.next())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-4
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=11).rev().map(f64::from).collect();
        assert_eq!(spread(&values), Spread { median: 6.0, low: 2.0, high: 10.0 });
        assert!(close(median(&[]), 0.0));
    }

    /// By hand: of the 20 orders of three and three values one has U = 0, and one has U = 1.
    #[test]
    fn the_rank_test_counts_orders() {
        assert!(close(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 2.0 / 20.0));
        assert!(close(mann_whitney(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]), 2.0 / 20.0));
        assert!(close(mann_whitney(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 4.0 / 20.0));
        assert!(close(mann_whitney(&[1.0], &[2.0]), 1.0));
    }

    #[test]
    fn the_bell_curve_is_close_to_counting() {
        for u in [20.0, 40.0, 70.0, 100.0] {
            let (exact, approximate) = (exact(15, 15, u), approximate(15, 15, u, &[1.0; 30]));
            assert!((exact - approximate).abs() < 0.01, "{u}: {exact} {approximate}");
        }
        assert!(close(tail(1.959_964), 0.05));
    }

    #[test]
    fn equal_samples_do_not_differ() {
        assert!(close(mann_whitney(&[5.0; 10], &[5.0; 10]), 1.0));
        let values: Vec<f64> = (0..20).map(f64::from).collect();
        assert!(mann_whitney(&values, &values) > 0.9);
    }

    #[test]
    fn the_interval_holds_the_ratio_and_knows_its_reference() {
        let before: Vec<f64> = (0..20).map(|i| 100.0 + f64::from(i)).collect();
        let after: Vec<f64> = before.iter().map(|value| value * 2.0).collect();
        let alone = |values| Sample { values, reference: None };
        let (low, high) = interval(&alone(&before), &alone(&after));
        assert!(low > 1.8 && low < 2.0 && high > 2.0 && high < 2.2, "{low} {high}");
        // A machine that is twice as slow is no change.
        let with = |values, reference| Sample { values, reference: Some(reference) };
        let (low, high) = interval(&with(&before, &before), &with(&after, &after));
        assert!(low < 1.0 && high > 1.0, "{low} {high}");
    }
}
