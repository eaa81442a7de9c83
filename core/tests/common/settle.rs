//! Steps told one by one, and what comes of them at every member.

use kith_core::replica::payload::CallPayload;
use kith_core::replica::{Payload, Rejection, Role};

use super::actions::{Stance, What};
use super::deliver::{Dice, Manner, Node};
use super::oracle::Oracle;
use super::probe::Probe;
use super::sealing::as_heard;
use super::world::{ACTORS, World, actor};

impl World {
    /// Everybody learns everything.
    pub fn meet(&mut self) {
        for number in 0..self.entries.len() {
            (0..ACTORS).for_each(|actor| self.learn(actor, number));
        }
    }

    pub fn calls(&mut self, by: usize, stance: Stance, (method, arguments): (&str, Vec<u8>)) -> usize {
        let from = self.standpoint(by, stance).expect("somebody who was added");
        self.publish(&from, &Payload::Call(CallPayload { method: method.into(), arguments }), &[])
    }

    pub fn notes(&mut self, by: usize, how_many: usize) {
        for _ in 0..how_many {
            self.acts(by, What::Note);
        }
    }

    pub fn removes(&mut self, by: usize, target: usize) -> usize {
        self.acts(by, What::Remove { target: target as u8, forgetful: false })
    }

    pub fn lowers(&mut self, by: usize, target: usize, role: Role) -> usize {
        self.acts(by, What::SetRole { target: target as u8, role, lowers: true, forgetful: false })
    }

    pub fn sets_role(&mut self, by: usize, target: usize, role: Role) -> usize {
        self.acts(by, What::SetRole { target: target as u8, role, lowers: false, forgetful: false })
    }

    pub fn sorts_before(&self, one: usize, other: usize) -> bool {
        let place = |number: usize| (self.entries[number].lamport(), self.id(number));
        place(one) < place(other)
    }
}

/// What every member comes to, whatever the order in which it learned the world.
pub struct Settled<'a> {
    world: &'a World,
    pub oracle: Oracle,
}

pub fn settle(world: &World) -> Settled<'_> {
    let all = world.transactions();
    let oracle = Oracle::replay(&world.context, &all, &Probe);
    for seed in 0..20 {
        let mut node = Node::new(world.context);
        let manner = Manner { reopens: seed % 4 == 3, late_application: seed % 8 == 7 };
        let mut dice = Dice::new(seed);
        node.receive_all(&as_heard(&all, &mut dice), manner, &mut dice);
        node.hear_contents(&all, &mut dice);
        node.check(&oracle).unwrap();
    }
    Settled { world, oracle }
}

impl Settled<'_> {
    #[track_caller]
    pub fn counts(&self, number: usize) {
        assert_eq!(self.oracle.rejection(&self.world.id(number)), None);
    }

    #[track_caller]
    pub fn rejects(&self, number: usize, why: Rejection) {
        assert_eq!(self.oracle.rejection(&self.world.id(number)), Some(&why));
    }

    #[track_caller]
    pub fn is_member(&self, number: usize, role: Option<Role>) {
        let member = self.oracle.governance.members.get(&actor(number));
        assert_eq!(member.map(|member| member.role), role, "actor {number}");
    }
}
