//! Which of several streams with a peer carries the link. Pure.
//!
//! Both sides may dial at the same time, over TCP and over QUIC. One side, the one with the greater peer id, chooses; the
//! other takes what is chosen. The choice is made when the other side's hello has come, and a hello says which streams its
//! sender believes to be alive: so a stream that the other side knows to carry the link is never given up for another one,
//! and one that it has lost is given up at once.
//!
//! What was written on a stream may arrive long after the stream has died, and after what was written later on another one. So
//! a word counts only if it is the latest. Within one process of the peer numbers tell that. Between two processes of it the
//! streams do: a stream is opened while the process at its other end lives, so the later process is the one at the other end
//! of the stream that was opened later.
//!
//! A link that goes through a relay is given up for a direct stream, though it is alive: both sides write what is queued on it, and only
//! then go over.

use std::collections::BTreeMap;

use super::PeerId;
use super::wire::{ALIVE, Hello};

/// Whether this node chooses.
pub(super) fn chooses(me: PeerId, peer: PeerId) -> bool {
    me > peer
}

/// What one side knows about its streams with one peer. Streams have numbers that only grow.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Each with whether it goes through a relay.
    alive: BTreeMap<u64, bool>,
    link: Option<Link>,
}

/// The stream that carries the link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    own: u64,
    instance: u64,
    theirs: u64,
    /// The number of the peer's choice; 0 on the side that chooses.
    choice: u64,
}

/// What becomes of a stream whose hello has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It carries the link.
    Use,
    /// It carries the link; the stream that did so before is dead.
    Replace(u64),
    /// It carries the link; the stream that did so before is alive, goes through a relay, and is to be emptied.
    Upgrade(u64),
    /// Another one does, and is alive or was chosen later.
    Surplus,
}

impl Book {
    /// A new stream, about to say hello: the other ones that are alive.
    pub(super) fn open(&mut self, own: u64, relayed: bool) -> Vec<u64> {
        // The latest ones, should there ever be more than a hello has room for; the link's is among the few there are.
        let alive = self.alive.keys().rev().take(ALIVE).copied().collect();
        self.alive.insert(own, relayed);
        alive
    }

    /// On the side that chooses: the peer's hello has come over this stream.
    pub(super) fn choose(&mut self, own: u64, hello: &Hello) -> Choice {
        let choice = match &self.link {
            None => Choice::Use,
            Some(link) if link.instance != hello.instance => link.or_later(own),
            // Said before the peer knew of the link's stream, or with it in mind.
            Some(link) if link.theirs > hello.stream || hello.alive.contains(&link.theirs) => {
                if self.is_better(own, link) { Choice::Upgrade(link.own) } else { Choice::Surplus }
            }
            Some(link) => Choice::Replace(link.own),
        };
        self.take(own, hello, 0, choice)
    }

    /// On the other side: the peer has chosen this stream. Its choices have numbers that only grow.
    pub(super) fn chosen(&mut self, own: u64, hello: &Hello, number: u64) -> Choice {
        let choice = match &self.link {
            None => Choice::Use,
            Some(link) if link.instance != hello.instance => link.or_later(own),
            Some(link) if link.choice > number => Choice::Surplus,
            Some(link) if self.is_better(own, link) => Choice::Upgrade(link.own),
            Some(link) => Choice::Replace(link.own),
        };
        self.take(own, hello, number, choice)
    }

    /// A stream is dead.
    pub(super) fn gone(&mut self, own: u64) {
        self.alive.remove(&own);
        if self.carries(own) {
            self.link = None;
        }
    }

    /// Whether the link goes through a relay and this stream does not.
    fn is_better(&self, own: u64, link: &Link) -> bool {
        let relayed = |own| self.alive.get(own).copied();
        relayed(&link.own) == Some(true) && relayed(&own) == Some(false)
    }

    pub(super) fn carries(&self, own: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.own == own)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.alive.is_empty()
    }

    #[cfg(test)]
    fn linked(&self) -> Option<u64> {
        self.link.as_ref().map(|link| link.own)
    }

    fn take(&mut self, own: u64, hello: &Hello, number: u64, choice: Choice) -> Choice {
        if choice != Choice::Surplus {
            self.link = Some(Link { own, instance: hello.instance, theirs: hello.stream, choice: number });
        }
        choice
    }
}

impl Link {
    /// What becomes of a stream with another process of the peer.
    fn or_later(&self, own: u64) -> Choice {
        if own > self.own { Choice::Replace(self.own) } else { Choice::Surplus }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Two sides and the streams between them; every message and every news of a death takes as long as it likes, so what
    /// was written on a stream that is dead arrives nevertheless, or never. A stream is between two processes from the moment
    /// on at which one of them has opened it, and dies with either. Side 0 chooses.
    #[derive(Default)]
    struct World {
        books: [Book; 2],
        instances: [u64; 2],
        last: [u64; 2],
        choices: u64,
        streams: Vec<Stream>,
        /// Links that were up on both sides and alive, and were given up for another: must not happen.
        betrayed: usize,
        upgrades: usize,
    }

    struct Stream {
        /// Each side's number, once that side has opened it; taken away when that side learns that it is dead.
        numbers: [Option<u64>; 2],
        wires: [VecDeque<Message>; 2],
        heard: [Option<Hello>; 2],
        dead: bool,
        relayed: bool,
    }

    #[derive(Clone)]
    enum Message {
        Hello(Hello),
        Use(u64),
        Surplus,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Dial,
        DialDirectly,
        Accept(usize, usize),
        Deliver(usize, usize),
        Die(usize),
        Notice(usize, usize),
        Restart(usize),
    }

    impl World {
        fn accept(&mut self, stream: usize, side: usize) {
            if self.streams[stream].dead || self.streams[stream].numbers[side].is_some() {
                return;
            }
            if self.streams[stream].heard[side].is_some() || self.last[side] > 1000 {
                return;
            }
            self.last[side] += 1;
            let number = self.last[side];
            let alive = self.books[side].open(number, self.streams[stream].relayed);
            let hello = Hello { frame: 0, instance: self.instances[side], stream: number, alive };
            self.streams[stream].numbers[side] = Some(number);
            self.streams[stream].wires[1 - side].push_back(Message::Hello(hello));
        }

        /// `side` takes the next message on the stream.
        fn deliver(&mut self, stream: usize, side: usize) {
            let Some(own) = self.streams[stream].numbers[side] else { return };
            let Some(message) = self.streams[stream].wires[side].pop_front() else { return };
            match message {
                Message::Hello(hello) => {
                    self.streams[stream].heard[side] = Some(hello.clone());
                    if side == 0 {
                        let held = self.books[0].linked();
                        let choice = self.books[0].choose(own, &hello);
                        if let Choice::Replace(before) | Choice::Upgrade(before) = choice {
                            assert_eq!(held, Some(before));
                            self.give_up(0, before, choice, stream);
                        }
                        if choice == Choice::Surplus {
                            self.streams[stream].wires[1].push_back(Message::Surplus);
                            self.drop_end(stream, 0);
                        } else {
                            self.choices += 1;
                            self.streams[stream].wires[1].push_back(Message::Use(self.choices));
                        }
                    }
                }
                Message::Use(number) => {
                    let hello = self.streams[stream].heard[1].clone().expect("hello comes before use");
                    match self.books[1].chosen(own, &hello, number) {
                        Choice::Use => {}
                        choice @ (Choice::Replace(before) | Choice::Upgrade(before)) => {
                            self.give_up(1, before, choice, stream);
                        }
                        Choice::Surplus => self.kill_own(1, own),
                    }
                }
                Message::Surplus => {
                    self.drop_end(stream, 1);
                    self.streams[stream].dead = true;
                }
            }
        }

        /// Whether a side's stream that is its link is the link on the other side, too, and works.
        fn up_and_alive(&self, own: u64, side: usize) -> bool {
            let other = 1 - side;
            self.streams.iter().any(|s| {
                !s.dead
                    && s.numbers[side] == Some(own)
                    && s.numbers[other].is_some_and(|n| self.books[other].carries(n))
            })
        }

        /// A living link is given up only for a better one. (That it is emptied is the streams' business.)
        fn give_up(&mut self, side: usize, before: u64, choice: Choice, stream: usize) {
            let was_relayed = self.streams.iter().any(|s| s.numbers[side] == Some(before) && s.relayed);
            let better = was_relayed && !self.streams[stream].relayed;
            assert!(better || choice == Choice::Replace(before));
            let alive = self.up_and_alive(before, side);
            self.betrayed += usize::from(alive && !matches!(choice, Choice::Upgrade(_)));
            self.upgrades += usize::from(alive && better);
            self.kill_own(side, before);
        }

        fn kill_own(&mut self, side: usize, number: u64) {
            if let Some(at) = self.streams.iter().position(|s| s.numbers[side] == Some(number)) {
                self.streams[at].dead = true;
                self.drop_end(at, side);
            }
        }

        fn drop_end(&mut self, stream: usize, side: usize) {
            if let Some(number) = self.streams[stream].numbers[side].take() {
                self.books[side].gone(number);
            }
        }

        fn apply(&mut self, step: &Step) {
            let pick = |n: usize, world: &Self| (!world.streams.is_empty()).then(|| n % world.streams.len());
            match *step {
                Step::Dial | Step::DialDirectly => self.streams.push(Stream {
                    numbers: [None, None],
                    wires: Default::default(),
                    heard: [None, None],
                    dead: false,
                    relayed: matches!(step, Step::Dial),
                }),
                Step::Accept(n, side) => pick(n, self).into_iter().for_each(|n| self.accept(n, side)),
                Step::Deliver(n, side) => pick(n, self).into_iter().for_each(|n| self.deliver(n, side)),
                Step::Die(n) => pick(n, self).into_iter().for_each(|n| self.streams[n].dead = true),
                Step::Notice(n, side) => {
                    if let Some(n) = pick(n, self).filter(|n| self.streams[*n].dead) {
                        self.drop_end(n, side);
                    }
                }
                Step::Restart(side) => {
                    self.instances[side] += 1;
                    self.last[side] = 0;
                    if side == 0 {
                        self.choices = 0;
                    }
                    self.books[side] = Book::default();
                    for stream in &mut self.streams {
                        stream.dead |= stream.numbers.iter().any(Option::is_some);
                        stream.numbers[side] = None;
                    }
                }
            }
        }

        /// Everything arrives and every death is noticed.
        fn settle(&mut self) {
            for _ in 0..4 {
                for n in 0..self.streams.len() {
                    for side in 0..2 {
                        if self.streams[n].dead {
                            self.drop_end(n, side);
                        } else {
                            self.accept(n, side);
                        }
                        while self.streams[n].numbers[side].is_some()
                            && !self.streams[n].wires[side].is_empty()
                        {
                            self.deliver(n, side);
                        }
                    }
                }
            }
        }
    }

    /// One step, or those that bring a stream up to the choice, which single steps seldom do.
    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (n, side) = (0usize..6, 0usize..2);
        let chosen = |n| {
            vec![Step::Dial, Step::Accept(n, 0), Step::Accept(n, 1), Step::Deliver(n, 1), Step::Deliver(n, 0)]
        };
        let single = prop_oneof![
            2 => Just(Step::Dial),
            1 => Just(Step::DialDirectly),
            6 => (n.clone(), side.clone()).prop_map(|(n, side)| Step::Accept(n, side)),
            10 => (n.clone(), side.clone()).prop_map(|(n, side)| Step::Deliver(n, side)),
            1 => n.clone().prop_map(Step::Die),
            2 => (n.clone(), side.clone()).prop_map(|(n, side)| Step::Notice(n, side)),
            1 => side.prop_map(Step::Restart),
        ];
        let some = prop_oneof![5 => single.prop_map(|step| vec![step]), 1 => n.prop_map(chosen)];
        proptest::collection::vec(some, 0..80).prop_map(|all| all.concat())
    }

    fn agreed(world: &World) -> Result<(), TestCaseError> {
        let links: BTreeMap<usize, [bool; 2]> = world
            .streams
            .iter()
            .enumerate()
            .map(|(n, s)| {
                (
                    n,
                    [0, 1]
                        .map(|side| s.numbers[side].is_some_and(|number| world.books[side].carries(number))),
                )
            })
            .collect();
        for (n, [here, there]) in &links {
            prop_assert_eq!(here, there, "stream {} is the link on one side only", n);
        }
        prop_assert!(links.values().filter(|l| l[0]).count() <= 1);
        Ok(())
    }

    fn ends_well(steps: &[Step]) -> Result<World, TestCaseError> {
        let mut world = World::default();
        for step in steps {
            world.apply(step);
            prop_assert_eq!(world.betrayed, 0, "a living link was given up");
        }
        world.settle();
        prop_assert_eq!(world.betrayed, 0, "a living link was given up");
        agreed(&world)?;
        // One more dial in peace gives a link if there is none, and changes nothing if there is one.
        let before = world.books[0].linked();
        world.apply(&Step::Dial);
        world.settle();
        agreed(&world)?;
        prop_assert!(world.books[0].linked().is_some() && world.books[1].linked().is_some());
        prop_assert!(before.is_none() || world.books[0].linked() == before);
        Ok(world)
    }

    /// A direct stream takes a relayed link's place, and no direct link's.
    fn is_upgraded(mut world: World) -> Result<(), TestCaseError> {
        let relayed = world.streams.iter().any(|s| s.relayed && s.numbers[0] == world.books[0].linked());
        let (before, upgrades) = (world.books[0].linked(), world.upgrades);
        world.apply(&Step::DialDirectly);
        world.settle();
        agreed(&world)?;
        prop_assert_eq!(world.books[0].linked() != before, relayed);
        prop_assert_eq!(world.upgrades > upgrades, relayed);
        prop_assert_eq!(world.betrayed, 0, "a living link was given up");
        Ok(())
    }

    fn cases() -> ProptestConfig {
        let asked = ProptestConfig::default();
        ProptestConfig { cases: asked.cases.max(10_000), ..asked }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn both_sides_end_with_the_same_one_link(steps in steps()) {
            is_upgraded(ends_well(&steps)?)?;
        }
    }

    /// Found by the property above. Side 1 says hello on stream 0 and is started anew; stream 0 is dead, side 0 has not
    /// noticed. Stream 1 brings the new process's hello and carries the link on both sides. Then the hello of the old
    /// process arrives. Side 0 took every hello of another process for one of a later process, and gave up the living link
    /// for a dead stream.
    #[test]
    fn a_late_hello_of_an_old_process_changes_nothing() {
        use Step::{Accept, Deliver, Dial, Restart};
        let steps = [
            Dial,
            Accept(0, 0),
            Dial,
            Accept(2, 1),
            Restart(1),
            Accept(1, 0),
            Accept(1, 1),
            Deliver(1, 1),
            Deliver(5, 0),
            Deliver(1, 1),
            Deliver(2, 0),
        ];
        let world = ends_well(&steps).unwrap();
        assert_eq!((world.books[0].linked(), world.books[1].linked()), (Some(2), Some(1)));
    }

    /// The same on the other side, which took every choice that arrived for the latest one: here the old process's choice
    /// of stream 0 arrives after the new one's choice of stream 1.
    #[test]
    fn a_late_choice_of_an_old_process_changes_nothing() {
        use Step::{Accept, Deliver, Dial, Restart};
        let chosen = |n| [Dial, Accept(n, 0), Accept(n, 1), Deliver(n, 1), Deliver(n, 0)];
        let restart = [Restart(0)];
        let late = [Deliver(1, 1), Deliver(0, 1)];
        let steps = [&chosen(0)[..], &restart, &chosen(1), &late].concat();
        let world = ends_well(&steps).unwrap();
        assert_eq!((world.books[0].linked(), world.books[1].linked()), (Some(1), Some(2)));
    }

    /// And within one process: side 0 chooses stream 0, sees it die, and chooses stream 1; the first choice arrives last.
    #[test]
    fn a_late_choice_of_the_same_process_changes_nothing() {
        use Step::{Accept, Deliver, Dial, Die, Notice};
        let chosen = |n| [Dial, Accept(n, 0), Accept(n, 1), Deliver(n, 1), Deliver(n, 0)];
        let dies = [Die(0), Notice(0, 0)];
        let late = [Deliver(1, 1), Deliver(0, 1)];
        let steps = [&chosen(0)[..], &dies, &chosen(1), &late].concat();
        let world = ends_well(&steps).unwrap();
        assert_eq!((world.books[0].linked(), world.books[1].linked()), (Some(2), Some(2)));
    }

    #[test]
    fn a_link_that_the_peer_has_lost_is_replaced_and_one_that_it_has_is_not() {
        let hello =
            |instance, stream, alive: &[u64]| Hello { frame: 0, instance, stream, alive: alive.to_vec() };
        let mut book = Book::default();
        book.open(1, false);
        assert_eq!(book.choose(1, &hello(1, 5, &[])), Choice::Use);
        book.open(2, false);
        assert_eq!(book.choose(2, &hello(1, 4, &[])), Choice::Surplus, "said before stream 5 was known");
        book.open(3, false);
        assert_eq!(book.choose(3, &hello(1, 6, &[5])), Choice::Surplus, "said with stream 5 in mind");
        book.open(4, false);
        assert_eq!(book.choose(4, &hello(1, 7, &[])), Choice::Replace(1), "stream 5 is gone");
        book.open(5, false);
        assert_eq!(book.choose(5, &hello(2, 1, &[])), Choice::Replace(4), "the peer has started anew");
    }
}
