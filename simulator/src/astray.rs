//! Answers about the wraps of epochs that go astray: on their way, or since who is asked does not mean to give them to everybody.

use std::collections::BTreeSet;

use kith_core::keyring::Key;
use kith_core::network::LinkId;
use kith_core::replica::{StateRead, Table, TransactionId};
use kith_core::storage::ContextTables;
use kith_core::sync::Channel;

use crate::node::NUMBER;
use crate::superseded::rows;
use crate::thief::row;
use crate::world::{Failed, Go, Happening, World};

/// The first byte of a session's `Wraps`: which epoch's, and then whether it is none.
const WRAPS: u8 = 18;
/// Where that is said.
const GIVEN: usize = 1 + 32;

/// What becomes of the answers of a node to who asks for wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Astray {
    /// They never arrive. A transport that loses something breaks, sooner or later.
    Lost,
    /// They are sent so much later, in ms.
    Late(u64),
    /// They are not sent.
    Withheld,
    /// "I have none."
    Denied,
    /// Something else is sent.
    Forged,
}

/// Whose answers go astray, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Straying {
    pub(crate) how: Astray,
    /// To whom, by the bits of their numbers.
    pub(crate) from: u64,
    /// The others' come so much later.
    pub(crate) late: u64,
    pub(crate) until: u64,
}

/// A message that is sent later.
#[derive(Debug)]
pub(crate) struct Late {
    node: usize,
    link: LinkId,
    channel: Channel,
    message: Vec<u8>,
}

/// What has become of the answers about wraps in a world.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    late: Vec<Option<Late>>,
    /// On which wires one end has not given the other what it has: it is not asked again as long as they are up.
    spoilt: BTreeSet<(usize, usize)>,
}

impl World {
    /// What is sent instead of a message, now.
    pub(crate) fn strays(
        &mut self,
        node: usize,
        link: LinkId,
        channel: Channel,
        mut message: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let gives = message.first() == Some(&WRAPS) && message.get(GIVEN) == Some(&1);
        let now = self.now();
        let straying = self.nodes[node].straying.filter(|straying| gives && now < straying.until);
        let line = self.nodes[node].lines.get(&link).map(|line| (line.wire, line.side));
        let (Some(straying), Some((wire, side))) = (straying, line) else { return Some(message) };
        let to = self.wires[wire].ends[1 - side];
        let how = match straying.from >> (to % 64) & 1 {
            0 if straying.late == 0 => return Some(message),
            0 => Astray::Late(straying.late),
            _ => straying.how,
        };
        self.report.astray += 1;
        match how {
            Astray::Lost => {
                self.wires[wire].broken = true;
                let pause = self.dice.below(20_000) as u64;
                for side in [0, 1] {
                    self.after(pause, Happening::Down { wire, side });
                }
                return None;
            }
            Astray::Late(time) => {
                self.answers.late.push(Some(Late { node, link, channel, message }));
                self.after(time, Happening::Late(self.answers.late.len() - 1));
                return None;
            }
            Astray::Withheld => {
                self.answers.spoilt.insert((wire, node));
                return None;
            }
            Astray::Denied => {
                self.answers.spoilt.insert((wire, node));
                message.truncate(GIVEN);
                message.push(0);
            }
            Astray::Forged => {
                if let Some(last) = message.last_mut() {
                    *last ^= 1;
                }
            }
        }
        Some(message)
    }

    /// What was held back is sent, if there is still anybody to hear it.
    pub(crate) fn too_late(&mut self, number: usize) -> Go {
        let Some(late) = self.answers.late.get_mut(number).and_then(Option::take) else { return Ok(()) };
        if self.nodes[late.node].machine.is_none() {
            return Ok(());
        }
        self.say_on(late.node, late.link, late.channel, late.message)
    }

    /// No member goes on wanting the wraps of an epoch that one has whom it is connected to, or that its author is there for. Those that are here already wait for
    /// nothing but others that their author made before them.
    pub(crate) fn nothing_is_wanted_in_vain(&mut self) -> Go {
        for number in self.members() {
            let mut missing = BTreeSet::new();
            for epoch in self.wanted(number)? {
                self.report.wanted += 1;
                let of = self.epoch_author(number, &epoch);
                let wrong = |detail| Err(("nothing-is-wanted-in-vain", number, detail));
                if self.holds_wraps(number, &epoch) {
                    if !missing.contains(&of) {
                        return wrong(format!(
                            "it has the wraps of {epoch} by {of:?}, and does not open its own"
                        ));
                    }
                    continue;
                }
                missing.insert(of);
                let who = self.nodes[number].lines.values().find_map(|line| {
                    let other = self.wires[line.wire].ends[1 - line.side];
                    let whole = self.wires[line.wire].up == [true, true];
                    let right = whole && !self.answers.spoilt.contains(&(line.wire, other));
                    (right && self.could_give(other, &epoch)).then_some(other)
                });
                if let Some(who) = who {
                    return wrong(format!(
                        "it wants the wraps of {epoch} by {of:?} still, and node {who} is there"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The epochs whose wraps a node waits for.
    fn wanted(&self, number: usize) -> std::result::Result<Vec<TransactionId>, Failed> {
        let failed = |error: kith_core::Error| ("reading-works", number, error.to_string());
        let rows = rows(&ContextTables::new(&*self.nodes[number].disk.intact(), NUMBER)).map_err(failed)?;
        // Behind the version of the row.
        let ids =
            rows.get(&Key::Wanted).and_then(|row| borsh::from_slice::<Vec<[u8; 32]>>(row.get(1..)?).ok());
        Ok(ids.unwrap_or_default().into_iter().map(TransactionId).collect())
    }

    fn epoch_author(&self, number: usize, epoch: &TransactionId) -> Option<usize> {
        let node = &self.nodes[number];
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let at = node.machine.as_ref()?.replica().location(&tables, epoch).ok()??;
        self.nodes.iter().find(|node| node.me == at.author).map(|node| node.number)
    }

    /// Whether a node has its wrap of an epoch, by itself or with those of the others.
    fn holds_wraps(&self, number: usize, epoch: &TransactionId) -> bool {
        let snapshot = self.nodes[number].disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let has = |key| matches!(StateRead::get(&tables, Table::Keys, &row(&key)), Ok(Some(_)));
        has(Key::Leaf(*epoch)) || has(Key::Wraps(*epoch))
    }

    /// Whether a node has the wraps of an epoch, or is its author's: that has them, or says that nobody has.
    fn could_give(&self, number: usize, epoch: &TransactionId) -> bool {
        let node = &self.nodes[number];
        let Some(machine) = node.machine.as_ref().filter(|_| self.members().contains(&number)) else {
            return false;
        };
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let has = StateRead::get(&tables, Table::Keys, &row(&Key::Wraps(*epoch)));
        let author = machine.replica().location(&tables, epoch).ok().flatten().map(|at| at.author);
        matches!(has, Ok(Some(_))) || author == Some(node.me)
    }
}
