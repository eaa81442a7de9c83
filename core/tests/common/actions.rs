//! What actors do, as lists that proptest can shrink.

use kith_core::application::kv;
use kith_core::replica::payload::{
    Add, CallPayload, Fork, Invite, Named, Remove, RevokeInvite, SetName, SetRole, SignedRun, Skip,
};
use kith_core::replica::{Header, Kind, Payload, Role, TransactionId};
use proptest::prelude::*;

use super::probe;
use super::world::{ACTORS, Entry, Standpoint, World, actor, actor_key, key, member, sign_again, state_key};

/// How honestly somebody acts.
#[derive(Clone, Copy, Debug)]
pub enum Stance {
    /// On all that it knows.
    Honest,
    /// Naming only heads of some authors.
    Some(u8),
    /// Going on with its own chain as if it had seen nothing since.
    Blind,
    /// From an old transaction of its own: a fork, if something follows that already.
    Old(u8),
    /// As if it had lost everything but its admission: from the beginning of a new chain.
    Anew(u8),
}

#[derive(Clone, Debug)]
pub enum What {
    Call { method: u8, key: u8, value: u8 },
    LearnAll { from: u8 },
    Learn { pick: u8 },
    Note,
    Invite { role: Role, uses: u8 },
    Revoke { pick: u8 },
    Redeem { pick: u8, subject: u8 },
    Add { subject: u8, role: Role },
    Remove { target: u8, forgetful: bool },
    SetRole { target: u8, role: Role, lowers: bool, forgetful: bool },
    Leave,
    SetName { of_context: bool, name: u8 },
    ProveFork { pick: u8, long: bool, forgetful: bool },
    Skip { pick: u8 },
    Rubbish { kind: u8 },
    Junk { how: u8, pick: u8 },
}

#[derive(Clone, Debug)]
pub struct Action {
    pub actor: u8,
    pub stance: Stance,
    pub what: What,
}

/// A world: members that the creator adds at the start, and what happens then.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether calls are sealed.
    pub suite: u8,
    pub arguments: Vec<u8>,
    pub founders: Vec<Role>,
    /// Whether each founder is added by the admin before, not all by the creator: so there are seniors and juniors.
    pub chained: bool,
    pub actions: Vec<Action>,
}

pub fn role() -> impl Strategy<Value = Role> {
    prop_oneof![2 => Just(Role::Writer), 1 => Just(Role::Reader), 2 => Just(Role::Admin)]
}

fn stance() -> impl Strategy<Value = Stance> {
    prop_oneof![
        12 => Just(Stance::Honest),
        2 => any::<u8>().prop_map(Stance::Some),
        2 => Just(Stance::Blind),
        2 => any::<u8>().prop_map(Stance::Old),
        1 => any::<u8>().prop_map(Stance::Anew),
    ]
}

/// What most of a world's actions are about.
#[derive(Clone, Copy, Debug)]
struct Focus {
    calls: u32,
    invitations: u32,
    removals: u32,
    forks: u32,
    learning: u32,
}

const MIXED: Focus = Focus { calls: 10, invitations: 4, removals: 4, forks: 1, learning: 7 };
const CALLS: Focus = Focus { calls: 30, invitations: 1, removals: 2, forks: 1, learning: 8 };
const INVITATIONS: Focus = Focus { calls: 3, invitations: 20, removals: 4, forks: 1, learning: 14 };
const REMOVALS: Focus = Focus { calls: 6, invitations: 1, removals: 16, forks: 1, learning: 10 };
const FORKS: Focus = Focus { calls: 6, invitations: 2, removals: 2, forks: 8, learning: 10 };

fn somebody() -> std::ops::Range<u8> {
    0..ACTORS as u8
}

fn calls() -> impl Strategy<Value = What> {
    prop_oneof![
        12 => (0u8..15, 0u8..5, 0u8..4).prop_map(|(method, key, value)| What::Call { method, key, value }),
        1 => any::<u8>().prop_map(|pick| What::Skip { pick }),
    ]
}

fn invitations() -> impl Strategy<Value = What> {
    prop_oneof![
        3 => (role(), prop_oneof![3 => Just(1u8), 1 => Just(2)])
            .prop_map(|(role, uses)| What::Invite { role, uses }),
        2 => any::<u8>().prop_map(|pick| What::Revoke { pick }),
        6 => (any::<u8>(), somebody()).prop_map(|(pick, subject)| What::Redeem { pick, subject }),
        1 => (somebody(), role()).prop_map(|(subject, role)| What::Add { subject, role }),
    ]
}

fn removals() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (somebody(), any::<bool>()).prop_map(|(target, forgetful)| What::Remove { target, forgetful }),
        5 => (somebody(), role(), any::<bool>(), any::<bool>())
            .prop_map(|(target, role, lowers, forgetful)| What::SetRole { target, role, lowers, forgetful }),
        2 => (somebody(), role()).prop_map(|(subject, role)| What::Add { subject, role }),
        1 => Just(What::Leave),
        2 => (any::<bool>(), 0u8..3).prop_map(|(of_context, name)| What::SetName { of_context, name }),
    ]
}

fn what(focus: Focus) -> impl Strategy<Value = What> {
    let fork = (any::<u8>(), any::<bool>(), any::<bool>())
        .prop_map(|(pick, long, forgetful)| What::ProveFork { pick, long, forgetful });
    prop_oneof![
        focus.calls => calls(),
        focus.invitations => invitations(),
        focus.removals => removals(),
        focus.forks => fork,
        focus.learning => prop_oneof![
            somebody().prop_map(|from| What::LearnAll { from }),
            any::<u8>().prop_map(|pick| What::Learn { pick }),
        ],
        1 => Just(What::Note),
        1 => prop_oneof![1u8..18, Just(200u8)].prop_map(|kind| What::Rubbish { kind }),
        1 => (0..JUNK, any::<u8>()).prop_map(|(how, pick)| What::Junk { how, pick }),
    ]
}

fn world(
    focus: Focus,
    founders: impl Strategy<Value = Vec<Role>>,
    actions: std::ops::Range<usize>,
) -> impl Strategy<Value = Plan> {
    let arguments = prop_oneof![3 => Just(Vec::new()), 1 => Just(b"set up".to_vec())];
    let action =
        (somebody(), stance(), what(focus)).prop_map(|(actor, stance, what)| Action { actor, stance, what });
    (arguments, founders, any::<bool>(), prop::collection::vec(action, actions)).prop_map(
        |(arguments, founders, chained, actions)| Plan { suite: 0, arguments, founders, chained, actions },
    )
}

/// A world of 2 to 6 members.
pub fn plan(actions: std::ops::Range<usize>) -> impl Strategy<Value = Plan> {
    let some = || prop::collection::vec(role(), 1..ACTORS);
    let few = prop::collection::vec(role(), 1..3);
    let admins =
        prop::collection::vec(prop_oneof![4 => Just(Role::Admin), 1 => Just(Role::Writer)], 2..ACTORS);
    prop_oneof![
        world(MIXED, some(), actions.clone()),
        world(CALLS, some(), actions.clone()),
        world(INVITATIONS, few, actions.clone()),
        world(REMOVALS, admins, actions.clone()),
        world(FORKS, some(), actions),
    ]
}

pub fn encoded_call(method: u8, number: u8, value: u8) -> (&'static str, Vec<u8>) {
    let key = state_key(number);
    let bytes = |value: u8| vec![value; usize::from(value)];
    match method {
        0 | 1 => kv::put(&key, bytes(value)),
        2 => kv::delete(&key),
        3..=5 => kv::add(&key, i64::from(value) - 1),
        6 => kv::compare_and_set(&key, None, Some(bytes(value))),
        7 => kv::compare_and_set(&key, Some(bytes(value)), None),
        8 => kv::append(&key, bytes(value)),
        9 => kv::batch(vec![
            kv::Operation::Add(kv::Add { key, delta: 1 }),
            kv::Operation::Append(kv::Append { key: state_key(value), bytes: vec![number] }),
        ]),
        10 => probe::digest(&key.0[..1], None, u32::from(value), state_key(7)),
        11 => probe::digest(&[], Some(key), 2, state_key(value)),
        12 => ("whoami", Vec::new()),
        13 => ("write_then_refuse", Vec::new()),
        _ => ("no such method", bytes(value)),
    }
}

/// The key of the invitation that transaction `number` of the world publishes.
fn invite_key(number: usize) -> ed25519_dalek::SigningKey {
    key("invitation", number)
}

fn choose(candidates: &[usize], pick: u8) -> Option<usize> {
    (!candidates.is_empty()).then(|| candidates[usize::from(pick) % candidates.len()])
}

impl World {
    /// The honest way to act, in tests that say what happens step by step.
    pub fn acts(&mut self, actor: usize, what: What) -> usize {
        self.acts_with(actor, Stance::Honest, what)
    }

    pub fn acts_with(&mut self, actor: usize, stance: Stance, what: What) -> usize {
        self.act(&Action { actor: actor as u8, stance, what }).expect("this action is possible")
    }

    pub fn add(&mut self, actor: usize, subject: usize, role: Role) -> usize {
        self.acts(actor, What::Add { subject: subject as u8, role })
    }

    pub fn id(&self, number: usize) -> TransactionId {
        self.entries[number].id
    }
}

pub fn act(world: &mut World, action: &Action) -> Option<usize> {
    // Somebody who can act, so that few actions come to nothing.
    let able: Vec<usize> =
        (0..ACTORS).filter(|actor| world.standpoint(*actor, Stance::Honest).is_some()).collect();
    let actor_number = match choose(&able, action.actor) {
        _ if able.contains(&usize::from(action.actor)) => usize::from(action.actor),
        Some(actor) => actor,
        None => return None,
    };
    match action.what {
        What::LearnAll { from } => {
            world.learn_all(actor_number, usize::from(from) % ACTORS);
            return None;
        }
        What::Learn { pick } => {
            let number = usize::from(pick) % world.entries.len();
            world.learn(actor_number, number);
            return None;
        }
        _ => {}
    }
    let from = world.standpoint(actor_number, action.stance)?;
    if let What::Rubbish { kind } = action.what {
        return rubbish(world, &from, kind);
    }
    if let What::Junk { how, pick } = action.what {
        super::junk::junk(world, &from, how, pick);
        return None;
    }
    let (payload, references) = says(world, &from, &action.what)?;
    let number = world.publish(&from, &payload, &references);
    if let What::Add { subject, .. } | What::Redeem { subject, .. } = action.what {
        world.learn(usize::from(subject), number);
    }
    Some(number)
}

pub use super::junk::JUNK;

fn says(world: &World, from: &Standpoint, what: &What) -> Option<(Payload, Vec<usize>)> {
    let is_invite = |entry: &Entry| matches!(entry.payload, Some(Payload::Invite(_)));
    Some(match *what {
        What::Call { method, key, value } => {
            let (method, arguments) = encoded_call(method, key, value);
            (Payload::Call(CallPayload { method: method.into(), arguments }), Vec::new())
        }
        // Where calls are sealed there are new keys now and then.
        What::Note if world.suite != 0 && world.entries.len().is_multiple_of(2) => {
            (super::sealing::epoch(), Vec::new())
        }
        What::Note => (Payload::Note, Vec::new()),
        What::Invite { role, uses } => {
            let key = member(&invite_key(world.entries.len()));
            let invite = Invite { key, role, not_after: 0, max_uses: uses.into(), note: String::new() };
            (Payload::Invite(invite), Vec::new())
        }
        What::Revoke { pick } => {
            let invites: Vec<usize> = world.nameable(from, is_invite).collect();
            let invite = choose(&invites, pick)?;
            (Payload::RevokeInvite(RevokeInvite { invite: world.id(invite) }), vec![invite])
        }
        What::Redeem { pick, subject } => {
            let invites: Vec<usize> = world.nameable(from, is_invite).collect();
            let invite = choose(&invites, pick)?;
            (redeem(world, invite, usize::from(subject)), vec![invite])
        }
        What::Add { subject, role } => {
            let subject = actor_key(usize::from(subject));
            (Payload::Add(Add::request(&world.context, subject, role, world.package(), None)), Vec::new())
        }
        What::Remove { target, forgetful } => {
            let tips = if forgetful { Vec::new() } else { world.tips(from, usize::from(target)) };
            let remove = Remove { member: actor(usize::from(target)), last: world.last(&tips) };
            (Payload::Remove(remove), tips)
        }
        What::SetRole { target, role, lowers, forgetful } => {
            let tips = if forgetful || !lowers { Vec::new() } else { world.tips(from, usize::from(target)) };
            let last = lowers.then(|| world.last(&tips));
            let set = SetRole { member: actor(usize::from(target)), role, last };
            (Payload::SetRole(set), tips)
        }
        What::Leave => (Payload::Leave, Vec::new()),
        What::SetName { of_context, name } => {
            let whose = if of_context { Named::Context } else { Named::Author };
            (Payload::SetName(SetName { whose, name: "a".repeat(name.into()) }), Vec::new())
        }
        What::ProveFork { pick, long, forgetful } => {
            let (target, mut proof, mut references) = fork(world, from, pick, long)?;
            let tips = if forgetful { Vec::new() } else { world.tips(from, target) };
            proof.last = world.last(&tips);
            references.extend(tips);
            (Payload::Fork(proof), references)
        }
        What::Skip { pick } => {
            let is_call = |entry: &Entry| entry.transaction.header.kind == Kind::Call as u8;
            let calls: Vec<usize> = world.nameable(from, is_call).collect();
            let call = choose(&calls, pick)?;
            (Payload::Skip(Skip { transaction: world.id(call) }), vec![call])
        }
        What::LearnAll { .. } | What::Learn { .. } | What::Rubbish { .. } | What::Junk { .. } => return None,
    })
}

/// What a joiner with the secret of an invitation asks for.
pub fn redeem(world: &World, invite: usize, subject: usize) -> Payload {
    let Some(Payload::Invite(terms)) = &world.entries[invite].payload else { unreachable!("an invitation") };
    let secret = invite_key(invite);
    Payload::Add(Add::request(
        &world.context,
        actor_key(subject),
        terms.role,
        world.package(),
        Some((world.id(invite), &secret)),
    ))
}

/// A proof of two histories, if any are known: of whom, and the transactions that it names.
pub fn fork(world: &World, from: &Standpoint, pick: u8, long: bool) -> Option<(usize, Fork, Vec<usize>)> {
    let known: Vec<usize> = from.knows.iter().copied().collect();
    let nameable: Vec<usize> = world.nameable(from, |_| true).collect();
    let mut pairs = Vec::new();
    for (index, one) in nameable.iter().enumerate() {
        for other in &nameable[index + 1..] {
            let (a, b) = (&world.entries[*one], &world.entries[*other]);
            // A genesis and its creator's other first transaction are two histories of one context as well.
            if a.author == b.author && a.sequence() == b.sequence() {
                pairs.push((*one, *other));
            }
        }
    }
    let (one, other) = *pairs.get(usize::from(pick) % pairs.len().max(1))?;
    let author = world.entries[one].author;
    let runs = (run(world, &known, one, long), run(world, &known, other, false));
    let proof = Fork { member: actor(author), one: runs.0, other: runs.1, last: Vec::new() };
    Some((author, proof, vec![one, other]))
}

/// A run from a transaction, as far as it goes on if it is to be long.
fn run(world: &World, known: &[usize], first: usize, long: bool) -> SignedRun {
    let mut headers: Vec<Header> = vec![world.entries[first].transaction.header.clone()];
    let mut last = first;
    let follows = |last: usize| {
        known.iter().copied().find(|n| world.entries[*n].transaction.header.previous == world.id(last))
    };
    while let Some(next) = follows(last).filter(|_| long) {
        headers.push(world.entries[next].transaction.header.clone());
        last = next;
    }
    let signature = world.entries[last].transaction.signature.expect("actors sign everything");
    SignedRun { headers, signature }
}

/// A transaction of any kind, also unknown ones, that says nothing that could be understood.
fn rubbish(world: &mut World, from: &Standpoint, kind: u8) -> Option<usize> {
    // Such a genesis or `Add` is not valid at all: that is for the junk.
    if kind == Kind::Genesis as u8 || kind == Kind::Add as u8 {
        return None;
    }
    // Nor is a call that is not sealed where calls are.
    if kind == Kind::Call as u8 && world.suite != 0 {
        return None;
    }
    let mut signed = world.draft(from, Kind::Note, vec![0xff; 5]).sign(actor_key(from.actor));
    signed.header.kind = kind;
    let signed = sign_again(signed, actor_key(from.actor));
    Some(world.publish_signed(from, signed, &[]))
}
