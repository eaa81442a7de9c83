//! Learning from a peer what sealed transactions say whose keys are not here: history is shared with members, and each share is checked by the
//! commitment in a header that is here already.
//!
//! One question at a time, and only while something is unopened that this peer was not asked about. What it cannot answer it remembers, and tells
//! once it can; so nothing is asked twice in a session, and nothing is sent while nothing changes.

use std::collections::BTreeSet;

use super::kept::Kept;
use super::message::Message;
use super::rounds::STALL_TIME;
use super::session::{Session, Step, Turn};
use super::{Failure, Output};
use crate::limits;
use crate::replica::faults::{self, Fault};
use crate::replica::{MemberId, TransactionId};

/// Places that are read at once.
const PAGE: usize = 256;

#[derive(Default)]
pub(super) struct Shares {
    /// Asked for, and not answered.
    asked: BTreeSet<TransactionId>,
    asked_until: Option<u64>,
    /// What the peer cannot open either; it tells when it can.
    unable: BTreeSet<TransactionId>,
    /// How many of those were learnt elsewhere since: the peer may tell what it says all the same.
    late: usize,
    /// What the peer lacks, and is unopened here too.
    owed: BTreeSet<TransactionId>,
    /// How many times something unopened had come when all of it was asked for.
    looked_at: u64,
    /// Something was learnt that is not durable yet.
    learning: bool,
    /// There is something to ask for, once keys that are on the way have come or not.
    held_back: bool,
    complained: bool,
    heard_complaint: bool,
}

impl Shares {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        Kept::note(all, "shares asked for", self.asked.len(), limits::SYNC_WANTED);
        // The last question of them all is asked while there is room for one.
        Kept::note(
            all,
            "shares that the peer lacks too",
            self.unable.len(),
            limits::SYNC_SHARES + limits::SYNC_WANTED - 1,
        );
        Kept::note(all, "shares owed", self.owed.len(), limits::SYNC_SHARES);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_empty() && !self.learning && !self.held_back
    }

    /// What nobody asked for any more is no breach, if somebody did.
    fn is_late(&mut self) -> Result<(), Failure> {
        self.late = self.late.checked_sub(1).ok_or(Failure::Protocol)?;
        Ok(())
    }

    pub(super) const fn deadline(&self) -> Option<u64> {
        self.asked_until
    }
}

impl Session {
    /// Asks for what is unopened and was not asked for.
    pub(super) fn ask_shares(&mut self, turn: &mut Turn<'_>) -> Step {
        let changes = turn.history.unopened_changes();
        let shares = &mut self.shares;
        shares.held_back = changes != shares.looked_at && turn.history.awaits_keys();
        let idle = shares.is_settled() && self.rounds.has_begun() && self.rounds.is_idle();
        if changes == shares.looked_at || !idle || faults::is(Fault::AskNobody) {
            return Ok(());
        }
        let (mut ids, mut after) = (Vec::new(), None);
        'pages: while shares.unable.len() < limits::SYNC_SHARES {
            let page = turn.history.unopened(after.as_ref(), PAGE)?;
            after = page.last().copied();
            let ended = page.len() < PAGE;
            for place in page.into_iter().filter(|place| !shares.unable.contains(&place.id)) {
                ids.push(place.id);
                if ids.len() == limits::SYNC_WANTED {
                    break 'pages;
                }
            }
            if ended {
                break;
            }
        }
        if ids.is_empty() {
            shares.looked_at = changes;
            return Ok(());
        }
        shares.asked = ids.iter().copied().collect();
        shares.asked_until = Some(turn.now.saturating_add(STALL_TIME));
        turn.send(&Message::Lacking { ids });
        Ok(())
    }

    pub(super) fn take_lacking(&mut self, ids: Vec<TransactionId>, turn: &mut Turn<'_>) -> Step {
        let (mut opened, mut unable, mut bytes) = (Vec::new(), Vec::new(), 0);
        let may_read = turn.history.may_read(&self.peer()?);
        for id in ids {
            let found = turn.history.transaction(&id)?.filter(|transaction| transaction.header.is_sealed());
            match found.filter(|transaction| transaction.is_opened() && may_read) {
                Some(transaction) => {
                    bytes += transaction.payload.len() + 64;
                    if bytes > limits::SYNC_BATCH && !opened.is_empty() {
                        // It asks again for what it did not get.
                        break;
                    }
                    opened.push((id, transaction.payload));
                }
                None => {
                    if self.shares.owed.len() < limits::SYNC_SHARES {
                        self.shares.owed.insert(id);
                    }
                    unable.push(id);
                }
            }
        }
        turn.send(&Message::Shares { opened, unable });
        Ok(())
    }

    pub(super) fn take_shares(
        &mut self,
        opened: Vec<(TransactionId, Vec<u8>)>,
        unable: &[TransactionId],
        turn: &mut Turn<'_>,
    ) -> Step {
        let shares = &mut self.shares;
        for id in unable {
            // An answer may come when nobody waits for it any more.
            if shares.asked.remove(id) {
                shares.unable.insert(*id);
            } else if !shares.unable.contains(id) {
                shares.is_late()?;
            }
        }
        let (mut learnt, mut answers) = (Vec::new(), !unable.is_empty());
        for (id, content) in opened {
            let asked = shares.asked.remove(&id);
            answers |= asked;
            if !asked && !shares.unable.remove(&id) {
                shares.is_late()?;
                continue;
            }
            let Some(transaction) = turn.history.transaction(&id)? else { continue };
            let right = transaction.header.check_content(&content).is_ok() || faults::is(Fault::TrustShares);
            if !right {
                return Err(Failure::BadTransaction.into());
            }
            if !transaction.is_opened() {
                learnt.push((id, content));
            }
        }
        if answers || shares.asked_until.is_none() {
            // What did not fit is asked for again.
            shares.asked.clear();
            shares.asked_until = None;
        }
        if learnt.is_empty() {
            return self.ask_shares(turn);
        }
        shares.learning = true;
        turn.out.push(Output::Opened(learnt));
        Ok(())
    }

    pub(super) fn take_opened(&mut self, transactions: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        self.shares.learning = false;
        for id in transactions {
            self.shares.late += usize::from(self.shares.unable.remove(id));
        }
        self.pay(turn)?;
        self.ask_shares(turn)
    }

    /// Tells what the peer has asked for in vain, as far as it can be told now.
    pub(super) fn pay(&mut self, turn: &mut Turn<'_>) -> Step {
        if self.shares.owed.is_empty() || !turn.history.may_read(&self.peer()?) {
            return Ok(());
        }
        let (mut opened, mut bytes) = (Vec::new(), 0);
        for id in self.shares.owed.clone() {
            let found = turn.history.transaction(&id)?;
            let Some(transaction) = found.filter(|t| t.header.is_sealed() && t.is_opened()) else { continue };
            self.shares.owed.remove(&id);
            bytes += transaction.payload.len();
            opened.push((id, transaction.payload));
            if bytes > limits::SYNC_BATCH || opened.len() == limits::SYNC_WANTED {
                let opened = std::mem::take(&mut opened);
                bytes = 0;
                turn.send(&Message::Shares { opened, unable: Vec::new() });
            }
        }
        if !opened.is_empty() {
            turn.send(&Message::Shares { opened, unable: Vec::new() });
        }
        Ok(())
    }

    /// Who does not answer has nothing.
    pub(super) fn tick_shares(&mut self, turn: &mut Turn<'_>) -> Step {
        if self.shares.asked_until.is_none_or(|until| turn.now < until) {
            return Ok(());
        }
        self.shares.asked_until = None;
        let asked = std::mem::take(&mut self.shares.asked);
        self.shares.unable.extend(asked);
        self.ask_shares(turn)
    }

    pub(super) fn complain_once(&mut self, turn: &mut Turn<'_>) {
        if self.handshake.is_through() && !std::mem::replace(&mut self.shares.complained, true) {
            turn.send(&Message::Complain);
        }
    }

    pub(super) fn take_complaint(&mut self, turn: &mut Turn<'_>) -> Step {
        if std::mem::replace(&mut self.shares.heard_complaint, true) {
            return Err(Failure::Protocol.into());
        }
        let member: MemberId = self.peer()?;
        turn.out.push(Output::Complaint(member));
        Ok(())
    }
}
