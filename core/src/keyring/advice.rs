//! What to do about trouble with keys.

use crate::encryption::Trouble;

impl Trouble {
    /// Whether what its author seals next begins anew once the author has heard of this, so that it opens again.
    #[must_use]
    pub(super) const fn heals(self) -> bool {
        matches!(self, Self::Wrap | Self::WrapStep { .. } | Self::WrapKey | Self::WrapForeign | Self::Seed)
    }

    /// What is wrong, and what whoever reads it is to do, for people.
    #[must_use]
    pub(crate) fn advice(self) -> String {
        let now = "What was said comes from whoever could open it; nothing is to be done.";
        let then = if self.heals() {
            "That member makes keys for this one anew. If it goes on all the same, rotate the keys here, and see whether that member's app is up to date"
        } else {
            "If it goes on with this member, its device or its app is at fault: have the app updated, or remove the member"
        };
        format!("{self}. {now} {then}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_comes_with_what_to_do() {
        let heals = Trouble::WrapStep { expected: 0, found: 3 };
        let said = heals.advice();
        assert!(heals.heals() && said.starts_with("the wrap is of step 3, and 0 is due. "), "{said}");
        assert!(said.contains("rotate the keys"), "{said}");
        let said = Trouble::Commitment.advice();
        assert!(!Trouble::Commitment.heals() && said.contains("remove the member."), "{said}");
    }
}
