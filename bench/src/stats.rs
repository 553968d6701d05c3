//! Medians, and ratios that are taken within a round, so that what slows the whole machine slows both.

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
