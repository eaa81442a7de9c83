//! Sizes that do not follow what is written byte by byte.

/// A few sizes, to one of which whatever somebody outside sees is filled up: from the smallest on four between two powers of two,
/// and from where these lie further apart than the largest step, each step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    pub(crate) smallest: usize,
    pub(crate) largest_step: usize,
}

impl Buckets {
    /// The smallest size that has room for `length`.
    pub(crate) const fn size(self, length: usize) -> usize {
        let length = if length < self.smallest { self.smallest } else { length };
        let step = (length + 1).next_power_of_two() / 8;
        let step = if step > self.largest_step { self.largest_step } else { step };
        length.div_ceil(step) * step
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::limits;

    fn sizes(buckets: Buckets, lengths: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut sizes = BTreeSet::new();
        for length in lengths {
            let size = buckets.size(length);
            assert!(size >= length, "{length} does not fit into {size}");
            assert!(
                size <= buckets.smallest || size * 4 <= length * 5 + 4,
                "{size} for {length} wastes more than a quarter"
            );
            assert!(size - length < buckets.largest_step.max(buckets.smallest));
            assert_eq!(buckets.size(size), size, "a bucket is its own size");
            sizes.insert(size);
        }
        sizes
    }

    #[test]
    fn buckets_are_few_hold_their_content_and_waste_at_most_a_quarter() {
        let without_steps = Buckets { smallest: 512, largest_step: usize::MAX };
        let few = sizes(without_steps, (1..100_000).chain([1 << 20])).len();
        assert!(few < 40, "{few} sizes tell too much");
        let with_steps = Buckets { smallest: 256, largest_step: 4096 };
        let few = sizes(with_steps, (0..40_000).chain([limits::FRAME])).len();
        assert!(few < 40, "{few} sizes tell too much");
        assert_eq!(with_steps.size(33_000), 36_864);
    }
}
