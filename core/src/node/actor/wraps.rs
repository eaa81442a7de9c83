//! What a context's thread does about wraps that are not in the epoch's transaction: whom to ask, one at a time, the author first; and what
//! to read once they have come.

use std::collections::{BTreeMap, BTreeSet};

use super::Actor;
use super::stage::Stage;
use crate::Result;
use crate::network::LinkId;
use crate::replica::{MemberId, Place, TransactionId, View};
use crate::storage::ContextTables;
use crate::sync::Output;

/// How many messages a round reads whose keys have come after them, and how many unopened ones it looks at.
const READ: usize = 256;
const LOOKED_AT: usize = 4096;
const PAGE: usize = 256;
/// How long a wrap is waited for before what it may open is asked for all the same, in ms; and how long any are, without a break.
const PATIENCE: u64 = 10_000;

/// What a context's thread knows of the wraps that it wants.
#[derive(Default)]
pub(super) struct Fetching {
    /// By epoch, whom it was asked of.
    asked: BTreeMap<TransactionId, Question>,
    /// Since when keys are on the way, without a break, and whether that held up other questions when it was last looked at.
    since: Option<u64>,
    awaited: bool,
    /// Something was given that is not stored yet.
    taking: bool,
    /// The epochs whose keys have come, and how far what came before them has been read.
    reading: BTreeSet<TransactionId>,
    read_until: Option<Place>,
}

struct Question {
    author: Option<MemberId>,
    /// Until when the wrap is waited for.
    until: u64,
    /// Whether each recipient hands all of them on, and not the author alone.
    handed_on: bool,
    /// Who is to answer.
    of: Option<LinkId>,
    /// Who has not got it.
    in_vain: BTreeSet<LinkId>,
    /// It was given, and what its author wrapped before it was not: it waits for that.
    given: bool,
}

impl Question {
    const fn new(author: Option<MemberId>, handed_on: bool, now: u64) -> Self {
        let until = now.saturating_add(PATIENCE);
        Self { author, until, handed_on, of: None, in_vain: BTreeSet::new(), given: false }
    }

    /// Whether the wrap may come yet: somebody is to answer, or those who were asked wait for it as well, and tell when they have it.
    const fn may_come(&self, now: u64) -> bool {
        now < self.until && !self.given && (self.handed_on || self.of.is_some())
    }

    const fn is_late(&self, now: u64) -> bool {
        now >= self.until && !self.given
    }
}

impl Fetching {
    /// Whether a round is due though nothing comes.
    pub(super) fn reads(&self) -> bool {
        !self.reading.is_empty()
    }

    /// Whether keys are on the way that are worth waiting for. Not where some were for so long without a break: authors that make epochs and
    /// withhold their wraps would have that go on without end.
    pub(super) fn awaits(&self, now: u64) -> bool {
        self.under_way(now) && self.since.is_none_or(|since| now.saturating_sub(since) < PATIENCE)
    }

    /// When [`Self::awaits`] comes to an end though nothing comes.
    pub(super) fn deadline(&self, now: u64) -> Option<u64> {
        let since = self.since.filter(|_| self.awaited)?;
        let last = self.coming(now).map(|asked| asked.until).max();
        let longest = since.saturating_add(PATIENCE);
        Some(last.filter(|_| !self.taking && !self.reads()).map_or(longest, |last| last.min(longest)))
    }

    /// Looks at the clock. Whether keys were waited for up to now, and are not any more.
    fn waited(&mut self, now: u64) -> bool {
        self.look(now);
        let awaits = self.awaits(now);
        std::mem::replace(&mut self.awaited, awaits) && !awaits
    }

    /// Notes since when keys are on the way, or that there was a break.
    fn look(&mut self, now: u64) {
        self.since = self.under_way(now).then(|| self.since.unwrap_or(now));
    }

    fn under_way(&self, now: u64) -> bool {
        self.taking || self.reads() || self.coming(now).next().is_some()
    }

    /// The wraps that may come yet. Of an author of whom one is late, no later one could be opened before that.
    fn coming(&self, now: u64) -> impl Iterator<Item = &Question> {
        let late = move |author: Option<MemberId>| {
            self.asked.values().any(|asked| asked.author == author && asked.is_late(now))
        };
        self.asked.values().filter(move |asked| asked.may_come(now) && !late(asked.author))
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

    /// A session begins on this link: it knows nothing of what was asked in the one before it, which may have ended in the same round.
    pub(super) fn begins(&mut self, link: LinkId) {
        for asked in self.asked.values_mut() {
            asked.of = asked.of.filter(|of| *of != link);
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
                let writes = self.keeper.give_up(&self.replica.everything(view), &epoch)?;
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
        let (wanted, now) = (self.keeper.wanted(tables)?, self.now());
        self.fetching.asked.retain(|epoch, _| wanted.contains(epoch));
        // Before there are new ones: they begin anew if there was a break.
        self.fetching.look(now);
        for epoch in wanted {
            if !self.fetching.asked.contains_key(&epoch) {
                let past = self.replica.everything(tables);
                let author = past.epoch(&epoch).map(|act| act.author);
                let handed_on = self.keeper.is_handed_on(&past, &epoch)?;
                self.fetching.asked.insert(epoch, Question::new(author, handed_on, now));
            }
            self.ask_for_wrap(epoch, tables, stage)?;
        }
        // Nothing is on the way any more: what cannot be read is asked for.
        stage.heard_shares |= self.fetching.waited(now);
        Ok(())
    }

    fn ask_for_wrap(
        &mut self,
        epoch: TransactionId,
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        let Some(asked) = self.fetching.asked.get_mut(&epoch) else { return Ok(()) };
        asked.in_vain.retain(|link| self.sessions.contains_key(link));
        asked.of = asked.of.filter(|link| self.sessions.contains_key(link));
        if asked.of.is_some() || asked.given {
            return Ok(());
        }
        let author = asked.author;
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

    const LIAR: Option<MemberId> = Some(MemberId([1; 32]));
    const OTHER: Option<MemberId> = Some(MemberId([2; 32]));

    fn epoch(number: u8) -> TransactionId {
        TransactionId([number; 32])
    }

    /// A wrap becomes wanted, as in a round: what there was before is looked at first.
    fn want(fetching: &mut Fetching, number: u8, author: Option<MemberId>, now: u64) {
        fetching.look(now);
        fetching.asked.insert(epoch(number), Question::new(author, true, now));
    }

    #[test]
    fn an_author_of_many_epochs_that_withholds_all_wraps_holds_nothing_up_for_long() {
        let mut fetching = Fetching::default();
        let link = LinkId(1);
        let mut held_up = Vec::new();
        for second in 0..60_u8 {
            // Before one epoch is given up there is the next.
            let now = 1_000 * u64::from(second);
            want(&mut fetching, second, LIAR, now);
            fetching.asked.get_mut(&epoch(second)).unwrap().of = Some(link);
            if let Some(late) = second.checked_sub(10) {
                fetching.has_not(&epoch(late), link);
            }
            assert_eq!(fetching.waited(now), second == 10, "told once");
            assert_eq!(fetching.deadline(now), (second < 10).then_some(10_000), "and in time");
            held_up.extend(fetching.awaits(now).then_some(second));
        }
        assert_eq!(held_up, (0..10).collect::<Vec<_>>());
        // As long as one of its wraps is late it holds up nothing more, and another author's wrap is waited for.
        want(&mut fetching, 60, LIAR, 80_000);
        assert!(!fetching.waited(80_000) && !fetching.awaits(80_000));
        want(&mut fetching, 61, OTHER, 81_000);
        assert!(!fetching.waited(81_000) && fetching.awaits(81_000));
        fetching.given(&epoch(61));
        assert!(!fetching.waited(82_000) && fetching.awaits(82_000), "given, and not stored yet");
        fetching.taking = false;
        assert!(fetching.waited(83_000) && !fetching.awaits(83_000));
    }

    #[test]
    fn who_comes_back_on_a_link_is_asked_again() {
        let mut fetching = Fetching::default();
        let (one, other) = (LinkId(1), LinkId(2));
        want(&mut fetching, 1, OTHER, 0);
        want(&mut fetching, 2, OTHER, 0);
        fetching.asked.get_mut(&epoch(1)).unwrap().of = Some(one);
        fetching.has_not(&epoch(2), one);
        fetching.has_not(&epoch(2), other);
        fetching.begins(one);
        let asked = |number| fetching.asked.get(&epoch(number)).unwrap();
        assert_eq!(asked(1).of, None, "the answer would never come");
        assert_eq!(asked(2).in_vain, [other].into(), "and that it has them now would not be told");
    }

    #[test]
    fn epochs_of_many_authors_hold_nothing_up_for_longer_than_those_of_one() {
        let mut fetching = Fetching::default();
        let mut held_up = Vec::new();
        for second in 0..60_u8 {
            let now = 1_000 * u64::from(second);
            want(&mut fetching, second, Some(MemberId([second; 32])), now);
            assert_eq!(fetching.waited(now), second == 10);
            held_up.extend(fetching.awaits(now).then_some(second));
        }
        assert_eq!(held_up, (0..10).collect::<Vec<_>>());
        // After a moment in which none may come it is waited for again.
        want(&mut fetching, 60, Some(MemberId([60; 32])), 69_000);
        assert!(!fetching.waited(69_000) && fetching.awaits(69_000));
    }

    #[test]
    fn a_wrap_that_nobody_has_yet_is_waited_for_and_one_that_its_author_alone_has_if_that_is_here() {
        let link = LinkId(1);
        for (handed_on, asked) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut fetching = Fetching::default();
            fetching.asked.insert(epoch(1), Question::new(OTHER, handed_on, 500));
            fetching.asked.get_mut(&epoch(1)).unwrap().of = asked.then_some(link);
            assert!(!fetching.waited(500));
            assert_eq!(fetching.awaits(500), handed_on || asked);
            fetching.has_not(&epoch(1), link);
            assert_eq!(
                fetching.waited(600),
                asked && !handed_on,
                "told at once where nobody else can have it"
            );
            assert_eq!(fetching.deadline(600), handed_on.then_some(10_500));
            assert_eq!(fetching.awaits(10_499), handed_on);
            assert!(!fetching.awaits(10_500));
            assert_eq!(fetching.waited(10_500), handed_on);
            assert_eq!(fetching.deadline(10_500), None, "no round is due for it any more");
        }
    }
}
