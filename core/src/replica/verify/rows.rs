//! The rows of the state: each is what some transaction wrote, and together they are what the running hash says.

use std::collections::{BTreeMap, BTreeSet};

use super::{Difference, Part, Phase, SLICE, Verifier, at, compare, whole};
use crate::Result;
use crate::replica::StateKey;
use crate::replica::commitment::Entries;
use crate::replica::engine::Replica;
use crate::replica::receipt::Place;
use crate::replica::state_read::{StateRead, Table};
use crate::replica::tables::{self, Version, damaged};
use crate::replica::view::successor;

impl Verifier {
    /// Versions that are not the latest.
    pub(super) fn versions(&mut self, tables: &dyn StateRead) -> Result<Option<Difference>> {
        let page = tables.scan(Table::Versions, &self.next, None, false, SLICE / 4)?;
        let Some((last, _)) = page.last() else {
            self.enter(Phase::State);
            return Ok(None);
        };
        self.next = successor(last);
        let mut writers = Writers::default();
        for (row, value) in &page {
            let (key, place) = row.split_at_checked(32).ok_or_else(|| damaged("a version's key"))?;
            let key = StateKey::from_slice(key)?;
            let place = Place::from_key(place).ok_or_else(|| damaged("a version's key"))?;
            let latest = tables.get(Table::State, &key.0)?.map(|row| Version::decode(&row)).transpose()?;
            let earlier = latest.is_some_and(|latest| place < latest.place);
            if !earlier || !writers.wrote(tables, &place, &key)? {
                return Ok(compare(Part::Value, Some(key), Some(value), None)
                    .err()
                    .map(|f| at(Some(place), f)));
            }
        }
        Ok(None)
    }

    /// The latest versions.
    pub(super) fn state(&mut self, replica: &Replica, tables: &dyn StateRead) -> Result<Option<Difference>> {
        let page = tables.scan(Table::State, &self.next, None, false, SLICE / 4)?;
        let Some((last, _)) = page.last() else {
            self.enter(Phase::Done);
            let (kept, sum) = (replica.core.state.collapse(), self.sum.state.collapse());
            return Ok(whole(compare(Part::Commitment, None, Some(&kept), Some(&sum))));
        };
        self.next = successor(last);
        let mut writers = Writers::default();
        for (key, row) in &page {
            let key = StateKey::from_slice(key)?;
            let Version { place, value } = Version::decode(row)?;
            self.sum.keys += 1;
            if !writers.wrote(tables, &place, &key)? {
                let kept = tables::encode_value(value.as_deref());
                return Ok(compare(Part::Value, Some(key), Some(&kept), None)
                    .err()
                    .map(|f| at(Some(place), f)));
            }
            if let Some(value) = value {
                self.sum.state.add(Entries::Application, &key.0, &value);
            }
        }
        Ok(None)
    }
}

/// What the transactions behind some rows are known to have written. Rows that lie together are often one transaction's, which may have
/// written thousands.
#[derive(Default)]
struct Writers(BTreeMap<Place, BTreeSet<StateKey>>);

impl Writers {
    fn wrote(&mut self, tables: &dyn StateRead, place: &Place, key: &StateKey) -> Result<bool> {
        if !self.0.contains_key(place) {
            let effects = tables::effects(tables, place)?;
            self.0.insert(*place, effects.into_iter().flat_map(|effects| effects.writes).collect());
        }
        Ok(self.0.get(place).is_some_and(|keys| keys.contains(key)))
    }
}
