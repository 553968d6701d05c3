//! Medians and other quantiles, and ratios that are taken within a round, so that what slows the whole machine slows both.

/// The middle value; the mean of the two middle ones of an even number. None of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Of how values spread: the middle, what all but one of a hundred do not exceed, and the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The smallest value that so large a share of all does not exceed.
        let rank = |share: f64| (share * sorted.len() as f64).ceil() as usize;
        let at = |share: f64| sorted.get(rank(share).max(1) - 1).copied();
        Some(Self {
            p50: at(0.5)?,
            p99: at(0.99)?,
            max: at(1.0)?,
        })
    }
}

/// The median of the ratios of each round. Rounds that one of the two lacks do not count.
pub(crate) fn median_ratio(
    numerators: &[Option<f64>],
    denominators: &[Option<f64>],
) -> Option<f64> {
    let rounds = numerators.iter().zip(denominators);
    let ratios: Vec<_> = rounds
        .filter_map(|(numerator, denominator)| Some((*numerator)? / (*denominator)?))
        .filter(|ratio| ratio.is_finite())
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn all_but_one_of_a_hundred_do_not_exceed_the_99th() {
        let values: Vec<_> = (1..=200).rev().map(f64::from).collect();
        let spread = Spread::of(&values).expect("there are values");
        assert_eq!((spread.p50, spread.p99, spread.max), (100.0, 198.0, 200.0));
        let one = Spread::of(&[7.0]).expect("there is a value");
        assert_eq!((one.p50, one.p99, one.max), (7.0, 7.0, 7.0));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_of_the_same_round() {
        let ours = [Some(1.0), Some(10.0), Some(2.0)];
        let theirs = [Some(2.0), Some(20.0), Some(4.0)];
        assert_eq!(median_ratio(&ours, &theirs), Some(0.5));
    }

    #[test]
    fn a_round_that_one_lacks_does_not_count() {
        let ours = [Some(1.0), None, Some(9.0)];
        let theirs = [Some(2.0), Some(1.0), None];
        assert_eq!(median_ratio(&ours, &theirs), Some(0.5));
        assert_eq!(median_ratio(&ours[1..], &theirs[1..]), None);
    }
}
