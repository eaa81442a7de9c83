//! What a context's thread does about wraps that are not in the epoch's transaction: whom to ask, one at a time, the author first; and what
//! to read once they have come.

use std::collections::{BTreeMap, BTreeSet};

use super::Actor;
use super::stage::Stage;
use crate::Result;
use crate::network::LinkId;
use crate::replica::{Place, TransactionId, View};
use crate::storage::ContextTables;
use crate::sync::Output;

/// How many messages a round reads whose keys have come after them, and how many unopened ones it looks at.
const READ: usize = 256;
const LOOKED_AT: usize = 4096;
const PAGE: usize = 256;
/// How long keys may be on the way without a break before what they may open is asked for all the same, in ms.
const PATIENCE: u64 = 10_000;

/// What a context's thread knows of the wraps that it wants.
#[derive(Default)]
pub(super) struct Fetching {
    /// By epoch, whom it was asked of.
    asked: BTreeMap<TransactionId, Question>,
    /// Since when keys are on the way, and whether that held up other questions when it was last looked at.
    since: Option<u64>,
    awaited: bool,
    /// They have been for so long that nothing is held up any more: an author that makes epochs and withholds their wraps would have that
    /// go on without end.
    overdue: bool,
    /// Something was given that is not stored yet.
    taking: bool,
    /// The epochs whose keys have come, and how far what came before them has been read.
    reading: BTreeSet<TransactionId>,
    read_until: Option<Place>,
}

#[derive(Default)]
struct Question {
    /// Who is to answer.
    of: Option<LinkId>,
    /// Who has not got it.
    in_vain: BTreeSet<LinkId>,
    /// It was given, and what its author wrapped before it was not: it waits for that.
    given: bool,
}

impl Fetching {
    /// Whether a round is due though nothing comes.
    pub(super) fn reads(&self) -> bool {
        !self.reading.is_empty()
    }

    /// Whether keys are on the way that are worth waiting for.
    pub(super) fn awaits(&self) -> bool {
        !self.overdue && self.under_way()
    }

    /// Looks at the clock. Whether keys were waited for up to now, and are not any more.
    fn waited(&mut self, now: u64) -> bool {
        self.since = if self.under_way() { self.since.or(Some(now)) } else { None };
        self.overdue = self.since.is_some_and(|since| now.saturating_sub(since) >= PATIENCE);
        let awaits = self.awaits();
        std::mem::replace(&mut self.awaited, awaits) && !awaits
    }

    /// Only the first of whom a wrap is asked holds up other questions.
    fn under_way(&self) -> bool {
        self.taking
            || self.reads()
            || self.asked.values().any(|asked| asked.of.is_some() && asked.in_vain.is_empty())
    }

    fn given(&mut self, epoch: &TransactionId) {
        self.taking = true;
        if let Some(asked) = self.asked.get_mut(epoch) {
            (asked.of, asked.given) = (None, true);
        }
    }

    fn has_not(&mut self, epoch: &TransactionId, link: LinkId) {
        if let Some(asked) = self.asked.get_mut(epoch) {
            asked.of = asked.of.filter(|of| *of != link);
            asked.in_vain.insert(link);
        }
    }

    fn has(&mut self, epoch: &TransactionId, link: LinkId) {
        if let Some(asked) = self.asked.get_mut(epoch) {
            asked.in_vain.remove(&link);
        }
    }
}

impl Actor {
    /// Takes what a session says about wraps.
    pub(super) fn hear_of_wraps(&mut self, link: LinkId, output: Output, stage: &mut Stage) {
        match output {
            Output::Wraps(epoch, given) => {
                self.fetching.given(&epoch);
                stage.wraps.push((epoch, given));
            }
            Output::NoWraps { epoch, answered } => {
                self.fetching.has_not(&epoch, link);
                let by = self.sessions.get(&link).and_then(|connected| connected.member);
                stage.no_wraps.extend(by.filter(|_| answered).map(|by| (epoch, by)));
            }
            Output::HasWraps(epoch) => self.fetching.has(&epoch, link),
            _ => {}
        }
    }

    /// Takes what peers gave of epochs' wraps, opens those whose turn it is, and reads what was sealed under them.
    pub(super) fn stage_wraps(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let mut moved = false;
        for (epoch, by) in std::mem::take(&mut stage.no_wraps) {
            // What its author has not got, nobody has.
            let author = self.replica.everything(view).epoch(&epoch).map(|act| act.author);
            if author == Some(by) {
                let writes = self.keeper.give_up(view, &epoch)?;
                view.apply(writes);
                moved = true;
            }
        }
        for (epoch, given) in std::mem::take(&mut stage.wraps) {
            let writes = self.keeper.keep_wraps(view, &epoch, given)?;
            view.apply(writes);
            stage.wrapped.push(epoch);
            moved = true;
        }
        while moved && let Some(unwrapped) = self.keeper.unwrap(&self.replica.everything(view))? {
            view.apply(unwrapped.writes);
            if unwrapped.opened {
                self.fetching.reading.insert(unwrapped.epoch);
                self.fetching.read_until = None;
                // What is gossiped may be sealed under its key.
                self.gossiping.look_anew();
            }
        }
        self.fetching.taking = false;
        self.read_late(view, stage)
    }

    /// Opens calls that came before the keys of their epoch; a part of them in each round.
    fn read_late(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let (mut read, mut looked_at) = (Vec::new(), 0);
        while self.fetching.reads() && read.len() < READ && looked_at < LOOKED_AT {
            let page = self.replica.unopened_places(view, self.fetching.read_until.as_ref(), PAGE)?;
            looked_at += PAGE;
            let ended = page.len() < PAGE;
            self.fetching.read_until = page.last().copied();
            for place in page {
                let Some(sealed) = self.replica.transaction(view, &place.id)? else { continue };
                if !self.fetching.reading.contains(&TransactionId(sealed.header.epoch)) {
                    continue;
                }
                if let Some((content, key, writes)) = self.keeper.read(&self.replica, view, &sealed)? {
                    view.apply(writes);
                    read.push((place.id, content, Some(key)));
                }
            }
            if ended {
                self.fetching.reading.clear();
            }
        }
        if read.is_empty() {
            return Ok(());
        }
        let application = self.application();
        let mut step = self.replica.open_late_with(view, read, application.as_deref())?;
        view.apply(std::mem::take(&mut step.writes));
        stage.opened.append(&mut step.opened);
        stage.absorb(step, &self.start.shared.me);
        Ok(())
    }

    /// Once the batch is durable: those who asked for what is here now hear of it, and what is still wanted is asked for.
    pub(super) fn fetch_wraps(&mut self, tables: &ContextTables<'_>, stage: &mut Stage) -> Result<()> {
        let wrapped = std::mem::take(&mut stage.wrapped);
        if !wrapped.is_empty() {
            self.note_gossip(tables)?;
            let links: Vec<LinkId> = self.sessions.keys().copied().collect();
            for link in links {
                self.with_session(link, None, tables, stage, |session, held, now| {
                    session.has_wraps(&wrapped, held, now)
                })?;
            }
        }
        let wanted = self.keeper.wanted(tables)?;
        self.fetching.asked.retain(|epoch, _| wanted.contains(epoch));
        for epoch in wanted {
            self.ask_for_wrap(epoch, tables, stage)?;
        }
        // Nothing is on the way any more: what cannot be read is asked for.
        let now = self.now();
        stage.heard_shares |= self.fetching.waited(now);
        Ok(())
    }

    fn ask_for_wrap(
        &mut self,
        epoch: TransactionId,
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        let asked = self.fetching.asked.entry(epoch).or_default();
        asked.in_vain.retain(|link| self.sessions.contains_key(link));
        asked.of = asked.of.filter(|link| self.sessions.contains_key(link));
        if asked.of.is_some() || asked.given {
            return Ok(());
        }
        let author = self.replica.everything(tables).epoch(&epoch).map(|act| act.author);
        let may = |link: &LinkId| {
            let session = self.sessions.get(link).map(|connected| &connected.session);
            !asked.in_vain.contains(link) && session.is_some_and(|session| session.may_ask_wraps(&epoch))
        };
        let mut links: Vec<_> = self
            .sessions
            .keys()
            .filter(|link| may(link))
            .map(|link| (self.sessions.get(link).and_then(|connected| connected.member) != author, *link))
            .collect();
        links.sort_unstable();
        let Some((_, link)) = links.first().copied() else { return Ok(()) };
        asked.of = Some(link);
        self.with_session(link, None, tables, stage, |session, held, now| session.ask_wraps(epoch, held, now))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_author_of_many_epochs_that_withholds_all_wraps_holds_nothing_up_for_long() {
        let mut fetching = Fetching::default();
        let link = LinkId(1);
        let mut held_up = Vec::new();
        for second in 0..60_u8 {
            // Before the question about one epoch is given up there is the next.
            let (epoch, now) = (TransactionId([second; 32]), 1_000 * u64::from(second));
            fetching.asked.entry(epoch).or_default().of = Some(link);
            if let Some(late) = second.checked_sub(10) {
                fetching.has_not(&TransactionId([late; 32]), link);
            }
            assert_eq!(fetching.waited(now), second == 10, "told once");
            held_up.extend(fetching.awaits().then_some(second));
        }
        assert_eq!(held_up, (0..10).collect::<Vec<_>>());
        // Once nothing is on the way, what comes then is waited for again.
        fetching.asked.clear();
        assert!(!fetching.waited(61_000) && !fetching.awaits());
        fetching.asked.entry(TransactionId::default()).or_default().of = Some(link);
        assert!(!fetching.waited(62_000) && fetching.awaits());
        fetching.given(&TransactionId::default());
        assert!(!fetching.waited(63_000) && fetching.awaits(), "given, and not stored yet");
        fetching.taking = false;
        assert!(fetching.waited(64_000) && !fetching.awaits());
    }
}
