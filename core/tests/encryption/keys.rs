//! Keys by themselves: distinct, used once, gone when used; and how large what is made of them is.

use std::collections::HashSet;

use kith_core::encryption::rules::{Choice, Rotate, Usage, best, decide};
use kith_core::encryption::{
    Chain, Envelope, Epoch, Leaf, MESSAGES, Opened, Pair, RatchetKey, Recipient, Scope, Secret, Suite,
    Trouble, Wrapped, Wraps, first_envelope_key,
};
use kith_core::keyring::{Change, Key, Ring};
use kith_core::replica::{ContextId, Kind, MemberId, TransactionId};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::group::{Actor, Group, Memory, secret};

/// What is in a chain's row: the key of the next message's step.
fn chain_key(row: &[u8]) -> [u8; 32] {
    row[6..38].try_into().unwrap()
}

#[test]
fn chains_of_epochs_contexts_suites_and_authors_have_nothing_in_common() {
    let mut seen = HashSet::new();
    for (context, suite) in [(1, Suite::X25519), (2, Suite::X25519), (1, Suite::XWing)] {
        let scope = Scope { suite, context: ContextId([context; 32]) };
        let me = MemberId([0; 32]);
        let mut rows = Memory::default();
        let (_, change) = Ring { scope, me, rows: &rows }.start(&secret(1));
        rows.apply([change]);
        let ring = Ring { scope, me, rows: &rows };
        let (key, _) = ring.start(&secret(2));
        let to = |number: u8| Recipient {
            member: MemberId([number; 32]),
            added: TransactionId([1; 32]),
            key: RatchetKey { index: 0, key: key.key.clone() },
        };
        for epoch in 0..4 {
            let draft = ring.draft_epoch(&[to(1), to(2), to(3)], &secret(7)).unwrap();
            for change in ring.begin_epoch(draft, &TransactionId([epoch; 32])) {
                if matches!(change.key, Key::Chain(..)) {
                    // One seed for all of them: the ids alone set them apart.
                    assert!(seen.insert(chain_key(&change.value.unwrap())));
                }
            }
        }
    }
    assert_eq!(seen.len(), 3 * 4 * 4);
}

#[test]
fn anything_taken_ten_times_is_taken_once() {
    let mut group = Group::all(Suite::X25519, 3);
    for round in 0..5 {
        group.send(round % 3, "text");
        group.meet_all();
    }
    for at in 0..group.history.events.len() {
        for actor in 0..3 {
            let before = group.actors[actor].rows.clone();
            for _ in 0..10 {
                match group.take(actor, at) {
                    Ok((opened, changes)) => {
                        assert!(opened.is_none() && changes.is_empty(), "delivered again")
                    }
                    Err(trouble) => assert_eq!(trouble, Trouble::Used),
                }
            }
            assert!(before == group.actors[actor].rows);
        }
    }
    assert!(group.actors.iter().all(|actor| actor.opened.len() == 5), "control: each was delivered once");
}

#[test]
fn messages_open_in_any_order_and_each_key_once() {
    let mut group = Group::all(Suite::X25519, 2);
    let sent: Vec<_> = (0..40).map(|n| group.send(0, &format!("{n}"))).collect();
    let epoch = sent[0] - 1;
    group.deliver(1, epoch);
    let open = |group: &mut Group, at: usize| {
        let (opened, changes) = group.take(1, at)?;
        group.actors[1].apply(changes);
        Ok::<_, Trouble>(opened.unwrap())
    };
    for step in 0..40 {
        // 17 and 40 have no common divisor: every one, out of order.
        let number = step * 17 % 40;
        assert_eq!(open(&mut group, sent[number]).unwrap().plaintext(), number.to_string().as_bytes());
        assert_eq!(open(&mut group, sent[number]), Err(Trouble::Used));
    }
    let row = &group.actors[1].rows.0[&Key::Chain(group.history.events[epoch].id, group.history.ids[0])];
    assert_eq!(row.len(), 42, "nothing is left of those that were passed over");
}

#[test]
fn an_epoch_has_room_for_so_many_messages_of_one_author_and_no_more() {
    let mut group = Group::all(Suite::X25519, 2);
    let sent: Vec<_> = (0..MESSAGES).map(|_| group.send(0, "x")).collect();
    let epoch = TransactionId(group.message(sent[0]).header.epoch);
    assert_eq!(group.message(sent[255]).header.counter, 255);
    let header = group.header(0, Kind::Call);
    let found = group.ring(0).seal(&epoch, header, b"x", &group.actors[0].signer);
    assert_eq!(found.map(drop), Err(Trouble::Counter));
    let next = group.send(0, "under a new one");
    assert_ne!(group.message(next).header.epoch, epoch.0);
    assert_eq!(group.message(next).header.counter, 0);
    // The last one first: every key before it is kept, and no more.
    group.deliver(1, sent[0] - 1);
    let open = |group: &mut Group, at: usize| {
        let (opened, changes) = group.take(1, at).unwrap();
        group.actors[1].apply(changes);
        assert_eq!(opened.unwrap().plaintext(), b"x");
    };
    open(&mut group, sent[255]);
    let row = group.actors[1].rows.0[&Key::Chain(epoch, group.history.ids[0])].len();
    assert!((255 * 36..256 * 36 + 64).contains(&row), "{row}");
    open(&mut group, sent[0]);
}

#[test]
fn rotation_is_due_by_number_age_and_wish() {
    let mut group = Group::all(Suite::X25519, 2);
    group.send(0, "x");
    let (id, epoch) = (group.history.ids[0], group.actors[0].last.unwrap());
    let ask = |usage: Usage| decide(best(&group.view(0), &id, Some(&epoch)), &usage);
    let day = 24 * 60 * 60 * 1000;
    let small = Usage { members: 64, ..Usage::default() };
    let large = Usage { members: 65, ..Usage::default() };
    assert_eq!(ask(Usage { sent: 255, age: day, ..small }), Choice::Send(epoch));
    assert_eq!(ask(Usage { sent: 256, ..small }), Choice::Rotate(Rotate::Messages));
    assert_eq!(ask(Usage { age: day + 1, ..small }), Choice::Rotate(Rotate::Age));
    assert_eq!(ask(Usage { age: 7 * day, ..large }), Choice::Send(epoch));
    assert_eq!(ask(Usage { age: 7 * day + 1, ..large }), Choice::Rotate(Rotate::Age));
    assert_eq!(ask(Usage { asked: true, ..small }), Choice::Rotate(Rotate::Asked));
    assert_eq!(ask(Usage { locked_out: true, ..small }), Choice::Rotate(Rotate::LockedOut));
}

#[test]
fn a_restored_backup_that_writes_another_text_reuses_no_key_stream() {
    let mut group = Group::all(Suite::X25519, 2);
    let epoch = group.rotate(0);
    let (id, signer) = (group.history.events[epoch].id, group.actors[0].signer.clone());
    let header = group.header(0, Kind::Call);
    let seal = |text: &[u8]| group.ring(0).seal(&id, header.clone(), text, &signer).unwrap().0;
    let (one, other) = (seal(b"attack at dawn, they sleep"), seal(b"attack at dusk, they sleep"));
    assert_eq!((one.header.counter, one.header.sequence), (other.header.counter, other.header.sequence));
    let apart = one.payload.iter().zip(&other.payload).filter(|(a, b)| a != b).count();
    assert!(apart > 20, "two key streams: {apart} bytes differ, and four would under one");
    assert_eq!(
        seal(b"the same"),
        seal(b"the same"),
        "control: the same text gives the same bytes, to be sent again"
    );
}

/// Three in ten single messages are lost, and what comes after them is opened at once: the chains, unlike the history, need no order. So keys are
/// passed over and kept, and each opens its message when that comes after all, the last one first.
#[test]
fn after_loss_everybody_reads_everything() {
    let mut group = Group::all(Suite::X25519, 5);
    let epoch = group.rotate(0);
    let id = group.history.events[epoch].id;
    (1..5).for_each(|to| group.deliver(to, epoch));
    let open = |group: &mut Group, to: usize, at: usize| {
        let (opened, changes) = group.take(to, at).unwrap();
        group.actors[to].apply(changes);
        group.actors[to].opened.insert(at, opened.unwrap());
    };
    let kept = |group: &Group| {
        let row = |of: &Actor, author| of.rows.0[&Key::Chain(id, author)].len();
        let rows =
            group.actors.iter().flat_map(|of| group.history.ids.iter().map(move |author| row(of, *author)));
        rows.sum::<usize>()
    };
    let nothing = kept(&group);
    let (mut dice, mut sent, mut lost, mut overtook) = (12345_u64, Vec::new(), Vec::new(), 0);
    for round in 0..60 {
        let author = round % 5;
        let at = group.send(author, &format!("{round}"));
        let header = &group.message(at).header;
        assert_eq!((header.epoch, header.counter as usize), (id.0, round / 5));
        for to in (0..5).filter(|to| *to != author) {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if (dice >> 33) % 10 < 3 {
                lost.push((to, at));
            } else {
                open(&mut group, to, at);
                overtook += usize::from(round >= 5 && !group.reads(to, sent[round - 5]));
            }
        }
        sent.push(at);
    }
    assert!((50..100).contains(&lost.len()) && overtook > 20, "{} lost, {overtook} overtook", lost.len());
    // A number and a key for each that was passed over; of those at a chain's end nothing is known yet.
    let passed_over = (kept(&group) - nothing) / 36;
    assert!(passed_over > 40 && passed_over <= lost.len(), "{passed_over} of {}", lost.len());
    let unread = |group: &Group| {
        sent.iter().map(|at| (0..5).filter(|one| !group.reads(*one, *at)).count()).sum::<usize>()
    };
    assert_eq!(unread(&group), lost.len(), "control");
    for (to, at) in lost.into_iter().rev() {
        open(&mut group, to, at);
        assert_eq!(group.take(to, at).map(drop), Err(Trouble::Used), "a key is good once");
    }
    assert_eq!((unread(&group), kept(&group)), (0, nothing), "all is read, and no key is left");
}

/// Whole meetings are lost, each with all that one has for the other. What comes then comes in causal order, which [`Group::deliver`] demands, as a node's
/// waiting room gives it: so no key is passed over here, and epochs follow epochs.
#[test]
fn after_lost_meetings_everybody_reads_everything() {
    let mut group = Group::all(Suite::X25519, 5);
    let mut dice = 12345_u64;
    let mut sent = Vec::new();
    let mut lost = 0;
    for round in 0..60 {
        sent.push(group.send(round % 5, &format!("{round}")));
        for to in (0..5).filter(|to| *to != round % 5) {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if (dice >> 33) % 10 < 3 {
                lost += 1;
            } else {
                group.meet(round % 5, to);
            }
        }
    }
    assert!(lost > 40, "control: {lost} meetings were lost");
    let unread = |group: &Group| {
        sent.iter().map(|at| (0..5).filter(|one| !group.reads(*one, *at)).count()).sum::<usize>()
    };
    let before = unread(&group);
    assert!(before > 0, "control: {before} were not read yet");
    group.meet_all();
    assert_eq!(unread(&group), 0);
}

#[test]
fn secrets_are_wiped_and_shown_to_nobody() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<Secret>();
    wiped::<Chain>();
    wiped::<Pair>();
    wiped::<Opened>();
    wiped::<sha2::Sha256>();
    // Those that hold them wipe by what they hold.
    assert!(std::mem::needs_drop::<kith_core::keyring::EpochDraft>());
    let mut secret = Secret::new([0x5A; 32]);
    assert_eq!(format!("{secret:?} {:?}", Some(secret.clone())), "Secret Some(Secret)");
    secret.zeroize();
    assert_eq!(secret.expose(), &[0; 32]);
}

/// How often this process's memory holds these bytes, but for the stack of this thread: moved values leave copies there.
#[cfg(target_os = "linux")]
fn in_memory(masked: &[u8]) -> usize {
    use std::os::unix::fs::FileExt;
    let here = 0_u8;
    let stack = std::ptr::from_ref(&here) as u64;
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (from, to) = words.next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let writable = words.next().is_some_and(|rights| rights.starts_with("rw"));
        if !writable || (from..to).contains(&stack) {
            continue;
        }
        let mut page = vec![0; (to - from) as usize];
        if memory.read_exact_at(&mut page, from).is_ok() {
            // Compared under a mask, so that what is looked for is not found where it is looked from.
            page.iter_mut().for_each(|byte| *byte ^= MASK);
            found += page.windows(32).filter(|window| *window == masked).count();
        }
    }
    found
}

#[cfg(target_os = "linux")]
const MASK: u8 = 0x55;

#[test]
#[cfg(target_os = "linux")]
fn a_dropped_row_is_not_in_memory_any_more() {
    let scope = Scope { suite: Suite::X25519, context: ContextId([0x99; 32]) };
    let mut rows = Memory::default();
    let ring = Ring { scope, me: MemberId([0; 32]), rows: &rows };
    rows.apply([ring.start(&secret(77)).1]);
    let ring = Ring { scope, me: MemberId([0; 32]), rows: &rows };
    let epoch = |number| {
        let draft = ring.draft_epoch(&[], &secret(number)).unwrap();
        let changes = ring.begin_epoch(draft, &TransactionId([1; 32]));
        let chain = changes.iter().find(|change| matches!(change.key, Key::Chain(..))).unwrap();
        let row: Vec<u8> = chain.value.as_ref().unwrap()[6..38].iter().map(|byte| byte ^ MASK).collect();
        (changes, row)
    };
    let (kept, kept_key) = epoch(78);
    let (gone, gone_key) = epoch(79);
    drop(gone);
    assert_eq!(in_memory(&gone_key), 0);
    assert!(in_memory(&kept_key) >= 1, "control: what is held is found");
    drop(kept);
    assert_eq!(in_memory(&kept_key), 0);
}

#[test]
fn stored_rows_of_another_version_are_refused() {
    let mut group = Group::all(Suite::X25519, 2);
    let at = group.send(0, "x");
    group.deliver(1, at - 1);
    let key = Key::Chain(TransactionId(group.message(at).header.epoch), group.history.ids[0]);
    for (change, trouble) in [
        (Box::new(|row: &mut Vec<u8>| row[0] = 2) as Box<dyn Fn(&mut Vec<u8>)>, Trouble::StateVersion),
        (Box::new(|row| row.clear()), Trouble::State),
        (Box::new(|row| row.truncate(20)), Trouble::State),
        (Box::new(|row| row.push(0)), Trouble::State),
        (Box::new(|row| row[1..5].fill(0xFF)), Trouble::State),
    ] {
        let mut rows = group.actors[1].rows.clone();
        change(rows.0.get_mut(&key).unwrap());
        let ring = Ring { rows: &rows, ..group.ring(1) };
        assert_eq!(ring.open(group.message(at)).map(drop), Err(trouble));
    }
    assert!(group.take(1, at).is_ok(), "control");
}

/// Wraps that are not in the transaction: each member opens its own out of what it is given, and nothing out of another's.
#[test]
fn each_of_many_opens_what_it_is_given_of_the_wraps() {
    for (suite, others, shared) in
        [(Suite::XWing, 29, true), (Suite::X25519, 399, true), (Suite::XWing, 223, false)]
    {
        let scope = Scope { suite, context: ContextId([9; 32]) };
        let author = MemberId([0; 32]);
        let mut rows = Memory::default();
        rows.apply([Ring { scope, me: author, rows: &rows }.start(&secret(1)).1]);
        let mut actors = Vec::new();
        let mut recipients = Vec::new();
        for number in 1..=others {
            let mut id = [1; 32];
            id[..4].copy_from_slice(&u32::to_be_bytes(number));
            let (member, mut rows) = (MemberId(id), Memory::default());
            let (key, change) = Ring { scope, me: member, rows: &rows }.start(&secret(u64::from(number) + 1));
            rows.apply([change]);
            recipients.push(Recipient { member, added: TransactionId([1; 32]), key });
            actors.push((member, rows));
        }
        let ring = Ring { scope, me: author, rows: &rows };
        let draft = ring.draft_epoch(&recipients, &secret(5_000)).unwrap();
        let (epoch, all) = (draft.epoch.clone(), draft.wraps.clone());
        assert!(matches!(epoch.wraps, Wraps::Root(_)));
        let kept = ring.begin_epoch(draft, &ID);
        assert!(
            kept.iter().any(|change| change.key == Key::Wraps(ID)),
            "the author keeps them for those who ask"
        );
        let members: Vec<_> =
            std::iter::once(author).chain(actors.iter().map(|(member, _)| *member)).collect();
        // Opening takes long with the second suite: every eighth will do.
        let step = if suite == Suite::XWing { 8 } else { 1 };
        for (index, (member, rows)) in actors.iter().enumerate().step_by(step) {
            let given = epoch.wrapped(&scope, &author, index, &all).unwrap();
            assert!(epoch.proves(&scope, &author, index, &given));
            let leaf = match given {
                Wrapped::All(all) => {
                    assert!(shared);
                    Leaf::of(&scope, &author, &all, index).unwrap()
                }
                Wrapped::Own(leaf) => {
                    assert!(!shared && borsh::to_vec(&leaf).unwrap().len() < 1_500);
                    leaf
                }
            };
            let ring = Ring { scope, me: *member, rows };
            let take = |leaf| ring.receive_epoch(&ID, &author, &epoch, &members, leaf);
            assert_eq!(take(None).map(drop), Err(Trouble::WrapElsewhere));
            assert!(take(Some(&leaf)).is_ok());
            let next = Leaf::of(&scope, &author, &all, (index + 1) % others as usize).unwrap();
            assert_eq!(take(Some(&next)).map(drop), Err(Trouble::WrapForeign));
        }
    }
}

/// One of a thousand members makes an epoch for the others, another one takes it in.
struct Thousand {
    scope: Scope,
    author: MemberId,
    me: MemberId,
    rows: Memory,
    mine: Memory,
    recipients: Vec<Recipient>,
    members: Vec<MemberId>,
}

const ID: TransactionId = TransactionId([7; 32]);

impl Thousand {
    fn new() -> Self {
        let scope = Scope { suite: Suite::X25519, context: ContextId([9; 32]) };
        let author = MemberId([0; 32]);
        let mut rows = Memory::default();
        let (_, change) = Ring { scope, me: author, rows: &rows }.start(&secret(1));
        rows.apply([change]);
        let member = |number: u32| {
            let mut id = [1; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            MemberId(id)
        };
        let me = member(500);
        let mut mine = Memory::default();
        let (key, change) = Ring { scope, me, rows: &mine }.start(&secret(2));
        mine.apply([change]);
        let to =
            |number| Recipient { member: member(number), added: TransactionId([1; 32]), key: key.clone() };
        let recipients: Vec<_> = (0..999).map(to).collect();
        let mut members: Vec<_> = recipients.iter().map(|to| to.member).chain([author]).collect();
        members.sort();
        Self { scope, author, me, rows, mine, recipients, members }
    }

    fn make(&self) -> (Epoch, Vec<u8>, Vec<Change>) {
        let ring = Ring { scope: self.scope, me: self.author, rows: &self.rows };
        let draft = ring.draft_epoch(&self.recipients, &secret(3)).unwrap();
        let (epoch, wraps) = (draft.epoch.clone(), draft.wraps.clone());
        (epoch, wraps, ring.begin_epoch(draft, &ID))
    }

    fn take(&self, epoch: &Epoch, leaf: Option<&Leaf>) -> Result<usize, Trouble> {
        let ring = Ring { scope: self.scope, me: self.me, rows: &self.mine };
        ring.receive_epoch(&ID, &self.author, epoch, &self.members, leaf).map(|rows| rows.len())
    }
}

#[test]
fn an_epoch_of_a_thousand() {
    let world = Thousand::new();
    let (epoch, wraps, changes) = world.make();
    assert_eq!(changes.len(), 999 + 1000 + 2, "roots, chains, envelope, all wraps for those who ask");
    assert!(wraps.len() < 90_000, "{} bytes of wraps", wraps.len());
    let bytes = borsh::to_vec(&epoch).unwrap();
    assert!(bytes.len() < 200, "{} bytes are spread", bytes.len());
    let leaf = Leaf::of(&world.scope, &world.author, &wraps, 500).unwrap();
    assert!(borsh::to_vec(&leaf).unwrap().len() < 500);
    let (scope, author) = (world.scope, world.author);
    let take = |leaf: Option<&Leaf>| world.take(&epoch, leaf);
    assert_eq!(take(Some(&leaf)), Ok(1003));
    assert_eq!(take(None), Err(Trouble::WrapElsewhere));
    for (wrong, why) in [
        (Leaf::of(&scope, &author, &wraps, 499).unwrap(), "another's"),
        (Leaf { path: leaf.path[1..].to_vec(), ..leaf.clone() }, "short"),
        (Leaf { path: [&leaf.path[..], &[[0; 32]]].concat(), ..leaf.clone() }, "long"),
        (Leaf { wrap: vec![0; 10 << 20], ..leaf.clone() }, "huge"),
        (Leaf { wrap: Vec::new(), ..leaf.clone() }, "empty"),
    ] {
        assert_eq!(take(Some(&wrong)), Err(Trouble::WrapForeign), "{why}");
    }
    for bit in 0..leaf.path.len() {
        let mut wrong = leaf.clone();
        wrong.path[bit][0] ^= 1;
        assert_eq!(take(Some(&wrong)), Err(Trouble::WrapForeign));
    }
    assert!(matches!(epoch.wraps, Wraps::Root(_)));
    let mut twice = world.recipients.clone();
    twice[1] = twice[0].clone();
    let ring = Ring { scope, me: author, rows: &world.rows };
    assert_eq!(ring.draft_epoch(&twice, &secret(4)).map(drop), Err(Trouble::Recipients));
}

#[test]
fn an_envelope_shows_nothing_of_what_is_in_it() {
    let mut group = Group::all(Suite::X25519, 2);
    let at = group.send(1, "a text that nobody outside sees");
    let message = group.message(at).clone();
    let content = message.encode();
    let key = first_envelope_key(&group.scope, &secret(8));
    let envelope = Envelope::seal(&group.scope, &key, &content).unwrap();
    assert_eq!(envelope.open(&group.scope, &key).unwrap(), content);
    let shown = borsh::to_vec(&envelope).unwrap();
    let header = &message.header;
    let ids = [&header.context.0, &header.author.0, &header.epoch, &header.previous.0, &header.id().0];
    let inside =
        |bytes: &[u8], id: &[u8; 32]| bytes.windows(8).any(|window| id.windows(8).any(|part| part == window));
    assert!(ids[..4].iter().all(|id| inside(&content, id)), "control");
    assert!(!ids.iter().any(|id| inside(&shown, id)));
    assert_eq!(envelope, Envelope::seal(&group.scope, &key, &content).unwrap(), "sent again, it is the same");
    // A counter more or less does not show in the length.
    let longer = Envelope::seal(&group.scope, &key, &[&content[..], &[0; 9]].concat()).unwrap();
    assert_eq!(longer.sealed.len(), envelope.sealed.len());
    let other = first_envelope_key(&group.scope, &secret(9));
    assert_eq!(envelope.open(&group.scope, &other), Err(Trouble::Envelope));
    for at in 0..envelope.sealed.len() {
        let mut wrong = envelope.clone();
        wrong.sealed[at] ^= 1;
        assert_eq!(wrong.open(&group.scope, &key), Err(Trouble::Envelope));
    }
    let mut wrong = envelope;
    wrong.tag[0] ^= 1;
    assert_eq!(wrong.open(&group.scope, &key), Err(Trouble::Envelope));
    let large = vec![0; 3 << 20];
    assert_eq!(Envelope::seal(&group.scope, &key, &large), Err(Trouble::TooLarge));
}
