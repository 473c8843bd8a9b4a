//! One of several, by weight.

/// The one for a number drawn evenly from all of `u64`, with its place; none where no weight is more than 0.
#[must_use]
pub fn choose<T>(all: &[T], weight: impl Fn(&T) -> u32, drawn: u64) -> Option<(usize, &T)> {
    let total: u64 = all.iter().map(|one| u64::from(weight(one))).sum();
    let mut left = drawn.checked_rem(total)?;
    all.iter().enumerate().find(|(_, one)| match left.checked_sub(weight(one).into()) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_its_share() {
        for (weights, expected) in [
            (&[90, 10][..], &[90, 10][..]),
            (&[0, 3, 0, 1], &[0, 75, 0, 25]),
            (&[1], &[100]),
            (&[1, 1, 2], &[25, 25, 50]),
        ] {
            let mut counted = vec![0; weights.len()];
            for drawn in 0..100 {
                let (place, weight) = choose(weights, |weight| *weight, drawn).unwrap();
                assert_eq!(weights[place], *weight);
                counted[place] += 1;
            }
            assert_eq!(counted, expected, "{weights:?}");
        }
    }

    #[test]
    fn large_weights_do_not_overflow() {
        let weights = [u32::MAX; 3];
        let place = |drawn| choose(&weights, |weight| *weight, drawn).unwrap().0;
        let one = u64::from(u32::MAX);
        assert_eq!([0, one - 1, one, 2 * one, 3 * one - 1, 3 * one].map(place), [0, 0, 1, 2, 2, 0]);
    }

    #[test]
    fn without_weight_there_is_none() {
        assert_eq!(choose(&[0u32, 0], |weight| *weight, 7), None);
        assert_eq!(choose(&[], |weight: &u32| *weight, 7), None);
    }
}
