//! The file of the marks: two slots of blocks, written in turn and in place, so that a write is one sync.
//!
//! ```text
//! magic      8 bytes
//! version    u32 LE
//! sequence   u64 LE    of the write; the same in all blocks of a slot, unless a write broke off
//! blocks     u32 LE    how many a slot has
//! index      u32 LE    of the block in the file
//! payload    468 bytes of: length u64 LE | content | zeros
//! checksum   16 bytes  of BLAKE3 over what stands before it
//! ```
//!
//! A crash in a write leaves each block old or new, which is what every medium promises of 512 bytes. So whatever
//! does not verify is damage, and a slot whose blocks are of several writes is one that broke off before anybody was
//! told of it: the other slot has what was acknowledged. With one checksum for a slot the two could not be told apart.

use super::damaged;
use crate::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"KITHMARK";
const VERSION: u32 = 2;
pub(super) const BLOCK: usize = 512;
const HEAD: usize = 28;
pub(super) const SUM: usize = 16;
const ROOM: usize = BLOCK - HEAD - SUM;
/// The slots lie in different pages, since a page is what the system writes at once.
const PAGE: usize = 4096 / BLOCK;

/// What is where in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Of each slot.
    blocks: u32,
    /// The slot that counts.
    current: u32,
    /// No write had a greater one. Never used twice: blocks of two writes with one sequence could pass for one write.
    sequence: u64,
}

/// A whole new file with room to grow.
pub(super) fn create(content: &[u8], after: Option<Layout>) -> Result<(Layout, Vec<u8>)> {
    let needed = (8 + content.len() + content.len() / 2).div_ceil(ROOM).next_multiple_of(PAGE);
    let blocks = u32::try_from(needed).map_err(|_| Error::internal("too many marks"))?;
    let layout = Layout { blocks, current: 1, sequence: after.map_or(0, |layout| layout.sequence) };
    let (layout, _, mut file) =
        layout.next(content).ok_or_else(|| Error::internal("no room in a new file"))?;
    let (layout, _, second) = layout.next(content).ok_or_else(|| Error::internal("no room in a new file"))?;
    file.extend_from_slice(&second);
    Ok((layout, file))
}

impl Layout {
    /// The next write: what the layout is after it, where it goes, and the slot. `None` if the content does not fit.
    pub(super) fn next(self, content: &[u8]) -> Option<(Self, u64, Vec<u8>)> {
        let next = Self { current: 1 - self.current, sequence: self.sequence.checked_add(1)?, ..self };
        let count = self.blocks as usize;
        let mut payload = Vec::with_capacity(count * ROOM);
        payload.extend_from_slice(&(content.len() as u64).to_le_bytes());
        payload.extend_from_slice(content);
        if payload.len() > count * ROOM {
            return None;
        }
        payload.resize(count * ROOM, 0);
        let mut slot = Vec::with_capacity(count * BLOCK);
        for (index, part) in (next.current * self.blocks..).zip(payload.chunks_exact(ROOM)) {
            let start = slot.len();
            slot.extend_from_slice(&MAGIC);
            slot.extend_from_slice(&VERSION.to_le_bytes());
            slot.extend_from_slice(&next.sequence.to_le_bytes());
            slot.extend_from_slice(&self.blocks.to_le_bytes());
            slot.extend_from_slice(&index.to_le_bytes());
            slot.extend_from_slice(part);
            let sum = checksum(&slot[start..]);
            slot.extend_from_slice(&sum);
        }
        Some((next, u64::from(next.current) * (count * BLOCK) as u64, slot))
    }
}

pub(super) fn checksum(block: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&blake3::derive_key("kith 2026 high-water block", block)[..SUM]);
    sum
}

/// A block that verified.
struct Block<'a> {
    sequence: u64,
    blocks: u32,
    index: u32,
    payload: &'a [u8],
}

/// `None`: damaged.
fn read_block(bytes: &[u8]) -> Option<Result<Block<'_>>> {
    let (block, sum) = bytes.split_at_checked(BLOCK - SUM)?;
    if checksum(block) != sum {
        return None;
    }
    let rest = block.strip_prefix(&MAGIC)?;
    let (version, rest) = rest.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION {
        return Some(Err(unknown_version()));
    }
    let (sequence, rest) = rest.split_first_chunk()?;
    let (blocks, rest) = rest.split_first_chunk()?;
    let (index, payload) = rest.split_first_chunk()?;
    Some(Ok(Block {
        sequence: u64::from_le_bytes(*sequence),
        blocks: u32::from_le_bytes(*blocks),
        index: u32::from_le_bytes(*index),
        payload,
    }))
}

fn unknown_version() -> Error {
    Error::new(ErrorKind::VersionMismatch, "the file `high-water` is of a version unknown to this build")
}

/// What was last written completely.
pub(super) fn read(file: &[u8]) -> Result<(Layout, Vec<u8>)> {
    // Version 1 was one record with one checksum.
    if file.starts_with(&[&MAGIC[..], &1u32.to_le_bytes()].concat()) {
        return Err(unknown_version());
    }
    let count = file.len() / BLOCK / 2;
    if file.is_empty() || file.len() != count * BLOCK * 2 {
        return Err(damaged());
    }
    let blocks = u32::try_from(count).map_err(|_| damaged())?;
    let mut read = Vec::with_capacity(count * 2);
    for (index, bytes) in (0..).zip(file.chunks_exact(BLOCK)) {
        let block = read_block(bytes).ok_or_else(damaged)??;
        if block.blocks != blocks || block.index != index {
            return Err(damaged());
        }
        read.push(block);
    }
    let (first, second) = read.split_at(count);
    let greatest = |slot: &[Block<'_>]| slot.iter().map(|block| block.sequence).max();
    let complete = |slot: &[Block<'_>]| {
        let sequence = slot.first()?.sequence;
        slot.iter().all(|block| block.sequence == sequence).then_some(sequence)
    };
    // A write goes to the slot that does not count, so at most one can have broken off, and only the latest.
    let current = match (complete(first), complete(second)) {
        (Some(a), Some(b)) if a != b => u32::from(b > a),
        (Some(a), None) if greatest(second) > Some(a) => 0,
        (None, Some(b)) if greatest(first) > Some(b) => 1,
        _ => return Err(damaged()),
    };
    let slot = if current == 0 { first } else { second };
    let payload: Vec<u8> = slot.iter().flat_map(|block| block.payload).copied().collect();
    let (length, rest) = payload.split_first_chunk().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
    let content = rest.get(..length).ok_or_else(damaged)?.to_vec();
    let sequence = greatest(first).max(greatest(second)).unwrap_or_default();
    Ok((Layout { blocks, current, sequence }, content))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The file as a later version would say it is.
    pub(in super::super) fn of_a_later_version(file: &[u8]) -> Vec<u8> {
        let mut later = file.to_vec();
        later[8] = 3;
        let sum = checksum(&later[..BLOCK - SUM]);
        later[BLOCK - SUM..BLOCK].copy_from_slice(&sum);
        later
    }

    /// The file after a write of which these blocks have arrived.
    fn after(file: &[u8], at: u64, slot: &[u8], arrived: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut file = file.to_vec();
        for (number, block) in slot.chunks_exact(BLOCK).enumerate().filter(|(number, _)| arrived(*number)) {
            let from = at as usize + number * BLOCK;
            file[from..from + BLOCK].copy_from_slice(block);
        }
        file
    }

    fn content() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..6000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Writes that break off, one after the other, each with any part of its blocks on the medium: what is found
        /// is always the last complete write.
        #[test]
        fn what_is_found_is_the_last_complete_write(
            first in content(),
            writes in proptest::collection::vec((content(), proptest::collection::vec(any::<bool>(), 64)), 1..12),
        ) {
            let (mut layout, mut file) = create(&first, None).unwrap();
            let mut last = first;
            for (content, arrived) in writes {
                let Some((next, at, slot)) = layout.next(&content) else {
                    let (next, new) = create(&content, Some(layout)).unwrap();
                    prop_assert!(next.sequence > layout.sequence);
                    (layout, file, last) = (next, new, content);
                    continue;
                };
                let blocks = slot.len() / BLOCK;
                let broken = after(&file, at, &slot, |n| arrived[n % arrived.len()]);
                let whole = (0..blocks).all(|n| arrived[n % arrived.len()]);
                let (found, bytes) = read(&broken).unwrap();
                prop_assert_eq!(&bytes, if whole { &content } else { &last });
                if whole {
                    prop_assert_eq!(found, next);
                    last = content;
                }
                (layout, file) = (found, broken);
                let (again, at, slot) = layout.next(&last).unwrap();
                file = after(&file, at, &slot, |_| true);
                prop_assert_eq!(read(&file).unwrap(), (again, last.clone()));
                layout = again;
            }
        }

        /// Damage of what a write that broke off has left is damage all the same.
        #[test]
        fn a_broken_off_write_hides_no_damage(arrived in proptest::collection::vec(any::<bool>(), 8), bit in 0usize..2 * 8 * BLOCK * 8) {
            let (layout, file) = create(b"old", None).unwrap();
            let (_, at, slot) = layout.next(b"new").unwrap();
            let mut file = after(&file, at, &slot, |n| arrived[n]);
            prop_assert!(read(&file).is_ok());
            file[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&file).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn slots_that_no_writing_leaves_are_damage() {
        let (layout, file) = create(b"one", None).unwrap();
        let (second, at, slot) = layout.next(b"two").unwrap();
        let written = after(&file, at, &slot, |_| true);
        assert_eq!(read(&written).unwrap().1, b"two");
        let (_, at, slot) = second.next(b"three").unwrap();
        // Both slots broken off.
        let both = after(&after(&file, 0, &written, |n| n == 3), at, &slot, |n| n == 3);
        assert_eq!(read(&both).unwrap_err().kind(), ErrorKind::Corrupt);
        // A slot in the other's place.
        let half = file.len() / 2;
        assert!(read(&[&file[half..], &file[..half]].concat()).is_err());
        assert!(read(&[&file[..half], &file[..half]].concat()).is_err());
        // An older block in the slot that does not count: a write that broke off leaves a later one there.
        let (third, at, slot) = second.next(b"three").unwrap();
        let three = after(&written, at, &slot, |_| true);
        let (_, at, slot) = third.next(b"four").unwrap();
        let four = after(&three, at, &slot, |_| true);
        assert_eq!(read(&four).unwrap().1, b"four");
        let stale = after(&four, half as u64, &file[half..], |n| n == 2);
        assert_eq!(read(&stale).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn version_1_is_named() {
        let old = [&MAGIC[..], &1u32.to_le_bytes(), &[0; 200]].concat();
        assert_eq!(read(&old).unwrap_err().kind(), ErrorKind::VersionMismatch);
    }
}
