//! The state commitment: a homomorphic hash of a set of entries. Adding and removing an entry costs the same whatever
//! the size of the set, and the order does not matter.

use std::io::{Read, Result, Write};

use borsh::{BorshDeserialize, BorshSerialize};

use super::domain::Domain;

const LANES: usize = 1024;
static ELEMENT_DOMAIN: Domain = Domain::new("kith 2026 state commitment element");
const COLLAPSE_DOMAIN: &str = "kith 2026 state commitment";

/// Which table an entry is of: entries of different tables never cancel out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Entries {
    /// The application's state.
    Application = 0,
    /// All that authorisation reads.
    Governance = 1,
}

/// LtHash with 1,024 lanes of 16 bits over BLAKE3's extendable output.
#[derive(Clone, PartialEq, Eq)]
pub struct SetHash {
    lanes: Box<[u16; LANES]>,
}

/// As an array of the lanes, in one piece: every step of a replica writes it.
impl BorshSerialize for SetHash {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        writer.write_all(&self.bytes())
    }
}

impl BorshDeserialize for SetHash {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let mut bytes = [0; LANES * 2];
        reader.read_exact(&mut bytes)?;
        Ok(Self { lanes: Box::new(lanes(&bytes)) })
    }
}

impl Default for SetHash {
    fn default() -> Self {
        Self { lanes: Box::new([0; LANES]) }
    }
}

impl std::fmt::Debug for SetHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SetHash({})", blake3::Hash::from_bytes(self.collapse()).to_hex())
    }
}

impl SetHash {
    /// Adds an entry to the set.
    pub fn add(&mut self, entries: Entries, key: &[u8], value: &[u8]) {
        let element = element(entries, key, value);
        self.lanes.iter_mut().zip(element.iter()).for_each(|(lane, part)| *lane = lane.wrapping_add(*part));
    }

    /// Takes an entry out of the set.
    pub fn remove(&mut self, entries: Entries, key: &[u8], value: &[u8]) {
        let element = element(entries, key, value);
        self.lanes.iter_mut().zip(element.iter()).for_each(|(lane, part)| *lane = lane.wrapping_sub(*part));
    }

    /// The union with another set that shares no entry with this one.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.lanes
            .iter_mut()
            .zip(other.lanes.iter())
            .for_each(|(lane, part)| *lane = lane.wrapping_add(*part));
        sum
    }

    /// The 32 bytes that are compared.
    #[must_use]
    pub fn collapse(&self) -> [u8; 32] {
        blake3::derive_key(COLLAPSE_DOMAIN, &self.bytes())
    }

    fn bytes(&self) -> [u8; LANES * 2] {
        let mut bytes = [0; LANES * 2];
        for (pair, lane) in bytes.as_chunks_mut().0.iter_mut().zip(self.lanes.iter()) {
            *pair = lane.to_le_bytes();
        }
        bytes
    }
}

fn lanes(bytes: &[u8; LANES * 2]) -> [u16; LANES] {
    let mut lanes = [0; LANES];
    for (lane, pair) in lanes.iter_mut().zip(bytes.as_chunks().0) {
        *lane = u16::from_le_bytes(*pair);
    }
    lanes
}

fn element(entries: Entries, key: &[u8], value: &[u8]) -> [u16; LANES] {
    let mut hasher = ELEMENT_DOMAIN.hasher();
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    hasher.update(&[entries as u8]).update(&length.to_le_bytes()).update(key).update(value);
    let mut bytes = [0; LANES * 2];
    hasher.finalize_xof().fill(&mut bytes);
    lanes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_of_changes_does_not_matter(mut entries in proptest::collection::btree_map(any::<[u8; 4]>(), any::<Vec<u8>>(), 0..20), extra in any::<[u8; 5]>()) {
            let mut forward = SetHash::default();
            let mut backward = SetHash::default();
            forward.add(Entries::Application, &extra, b"x");
            for (key, value) in &entries {
                forward.add(Entries::Application, key, value);
            }
            forward.remove(Entries::Application, &extra, b"x");
            while let Some((key, value)) = entries.pop_last() {
                backward.add(Entries::Application, &key, &value);
            }
            prop_assert_eq!(forward.collapse(), backward.collapse());
        }
    }

    #[test]
    fn it_is_written_as_an_array_of_lanes() {
        let mut hash = SetHash::default();
        hash.add(Entries::Application, b"a", b"b");
        let bytes = borsh::to_vec(&hash).unwrap();
        assert_eq!(bytes, borsh::to_vec(&*hash.lanes).unwrap());
        assert_eq!(borsh::from_slice::<SetHash>(&bytes).unwrap(), hash);
        assert!(borsh::from_slice::<SetHash>(&bytes[1..]).is_err());
    }

    #[test]
    fn keys_values_and_tables_are_told_apart() {
        let of = |table, key: &[u8], value: &[u8]| {
            let mut hash = SetHash::default();
            hash.add(table, key, value);
            hash.collapse()
        };
        assert_ne!(of(Entries::Application, b"a", b"bc"), of(Entries::Application, b"ab", b"c"));
        assert_ne!(of(Entries::Application, b"a", b"b"), of(Entries::Governance, b"a", b"b"));
        assert_ne!(of(Entries::Application, b"a", b""), SetHash::default().collapse());
    }
}
