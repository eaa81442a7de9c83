//! Sets of governing transactions.

/// A set of local numbers of governing transactions.
///
/// Each of them keeps its causal past, and that is nearly always all that is older: so words without a gap at the beginning are only counted, or
/// what is kept would grow with the square of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Numbers {
    /// How many words at the beginning have all numbers.
    full: usize,
    /// Those after them; the first has a gap, the last is not empty (but for one that was removed).
    rest: Vec<u64>,
}

impl Numbers {
    fn word(&self, at: usize) -> u64 {
        match at.checked_sub(self.full) {
            None => u64::MAX,
            Some(at) => self.rest.get(at).copied().unwrap_or(0),
        }
    }

    fn len(&self) -> usize {
        self.full + self.rest.len()
    }

    /// Only counts what has become full.
    fn settle(&mut self) {
        let full = self.rest.iter().take_while(|word| **word == u64::MAX).count();
        self.rest.drain(..full);
        self.full += full;
    }

    fn add(&mut self, word: usize, bits: u64) {
        let Some(at) = word.checked_sub(self.full) else { return };
        if self.rest.len() <= at {
            self.rest.resize(at + 1, 0);
        }
        self.rest[at] |= bits;
    }

    pub(crate) fn insert(&mut self, number: u32) {
        self.add(number as usize / 64, 1 << (number % 64));
        self.settle();
    }

    pub(crate) fn words(&self) -> Vec<u64> {
        (0..self.len()).map(|at| self.word(at)).collect()
    }

    /// What is in both.
    pub(crate) fn common(&self, other: &Self) -> Self {
        let (full, len) = (self.full.min(other.full), self.len().min(other.len()));
        let mut rest: Vec<u64> = (full..len).map(|at| self.word(at) & other.word(at)).collect();
        while rest.last() == Some(&0) {
            rest.pop();
        }
        let mut common = Self { full, rest };
        common.settle();
        common
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.word(number as usize / 64) >> (number % 64) & 1 == 1
    }

    pub(crate) fn count(&self) -> usize {
        64 * self.full + self.rest.iter().map(|word| word.count_ones() as usize).sum::<usize>()
    }

    pub(super) fn remove(&mut self, number: u32) {
        let word = number as usize / 64;
        if word >= self.len() {
            return;
        }
        if let Some(again) = self.full.checked_sub(word) {
            self.rest.splice(..0, std::iter::repeat_n(u64::MAX, again));
            self.full = word;
        }
        self.rest[word - self.full] &= !(1 << (number % 64));
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        if let Some(more) = other.full.checked_sub(self.full) {
            self.rest.drain(..more.min(self.rest.len()));
            self.full = other.full;
        }
        for (at, word) in (other.full..).zip(&other.rest) {
            self.add(at, *word);
        }
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &BTreeSet<u32>) -> Numbers {
        let mut made = Numbers::default();
        numbers.iter().for_each(|number| made.insert(*number));
        made
    }

    /// Mostly all up to some number, with gaps, and a few beyond.
    fn set() -> impl Strategy<Value = BTreeSet<u32>> {
        let gaps = proptest::collection::vec(0..400u32, 0..3);
        let beyond = proptest::collection::vec(0..400u32, 0..5);
        (0..300u32, gaps, beyond).prop_map(|(all, gaps, beyond)| {
            let mut set: BTreeSet<u32> = (0..all).collect();
            set.retain(|number| !gaps.contains(number));
            set.extend(beyond);
            set
        })
    }

    proptest! {
        #[test]
        fn it_is_a_set(one in set(), other in set(), gone in 0..400u32) {
            let (a, b) = (of(&one), of(&other));
            prop_assert_eq!(a.count(), one.len());
            prop_assert!((0..500).all(|number| a.contains(number) == one.contains(&number)));
            prop_assert_eq!(&a.common(&b), &of(&(&one & &other)));
            let mut both = a.clone();
            both.extend(&b);
            prop_assert_eq!(&both, &of(&(&one | &other)));
            prop_assert_eq!(both.words().iter().map(|word| word.count_ones()).sum::<u32>() as usize, both.count());
            let (mut fewer, mut without) = (a, one);
            fewer.remove(gone);
            without.remove(&gone);
            prop_assert!((0..500).all(|number| fewer.contains(number) == without.contains(&number)));
            fewer.insert(gone);
            without.insert(gone);
            prop_assert_eq!(fewer, of(&without));
        }
    }

    #[test]
    fn the_past_of_one_after_the_other_takes_no_room() {
        let mut past = Numbers::default();
        for number in 0..100_000 {
            past.insert(number);
            assert!(past.rest.len() <= 1);
        }
        let mut copy = Numbers::default();
        copy.extend(&past);
        assert!(copy.rest.capacity() < 8 && copy.count() == 100_000);
    }
}
