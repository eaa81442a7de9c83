//! Known answers of a second implementation, `vectors/encryption.py`.

use ed25519_dalek::SigningKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, OpModeS, Serializable};
use kith_core::encryption::{
    Envelope, Epoch, Leaf, RatchetKey, Recipient, Scope, Secret, Suite, Wraps, envelope_tag,
    first_envelope_key, gossip_topic,
};
use kith_core::keyring::{Key, Ring};
use kith_core::replica::{ContextId, HEADER_VERSION, Header, Kind, MemberId, TransactionId};
use serde_json::Value;

use super::group::{Memory, secret};

fn file() -> Value {
    serde_json::from_str(include_str!("../vectors/encryption.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn scope(suite: Suite) -> Scope {
    Scope { suite, context: ContextId([9; 32]) }
}

/// A chain's row: version, next, a key, nothing passed over.
fn chain_row(next: u32, key: &[u8]) -> Vec<u8> {
    [&[1][..], &next.to_le_bytes(), &[1], key, &[0; 4]].concat()
}

/// The row of a chain of roots: version, `Add`, next step, a root.
fn pair_row(added: &[u8; 32], step: u32, root: &[u8]) -> Vec<u8> {
    [&[1][..], added, &step.to_le_bytes(), &[1], root].concat()
}

#[test]
fn pairs_epochs_and_chains_are_as_written() {
    let all = file();
    let file = &all["x25519"];
    let (author, member) = (MemberId(array(&file["author"])), MemberId(array(&file["member"])));
    let (mut one, mut other) = (Memory::default(), Memory::default());
    let mut keys = Vec::new();
    for (name, rows, me) in [("author", &mut one, author), ("member", &mut other, member)] {
        let ring = Ring { scope: scope(Suite::X25519), me, rows };
        let (key, change) = ring.start(&Secret::new(array(&file["entropy"][name])));
        rows.apply([change]);
        assert_eq!(key.key, bytes(&file["ratchet_keys"][name]["public"]));
        let private = bytes(&file["ratchet_keys"][name]["private"]);
        let row = [&[1, 1, 0, 0, 0][..], &[0; 4], &private, &[0]].concat();
        assert_eq!(rows.0[&Key::Ratchet], row);
        keys.push(key);
    }
    let mut members = vec![author, member];
    members.sort();
    let added = [0xAD; 32];
    for (step, written) in file["epochs"].as_array().unwrap().iter().enumerate() {
        let entropy = array(&file["entropy"][if step == 0 { "first" } else { "second" }]);
        let to = Recipient { member, added: TransactionId(added), key: keys[1].clone() };
        let ring = Ring { scope: scope(Suite::X25519), me: author, rows: &one };
        let draft = ring.draft_epoch(&[to], &Secret::new(entropy)).unwrap();
        assert_eq!(draft.wraps, bytes(&written["wrap"]));
        assert_eq!(draft.epoch.wraps, Wraps::Inline(bytes(&written["wrap"])));
        assert_eq!(draft.epoch.commit, array(&written["commit"]));
        let own_key = RatchetKey { index: 0, key: bytes(&written["own_key"]) };
        assert_eq!(draft.epoch.ratchet_key, own_key);
        let (epoch, id) = (draft.epoch.clone(), TransactionId(array(&written["id"])));
        let changes = ring.begin_epoch(draft, &id);
        one.apply(changes);
        let ring = Ring { scope: scope(Suite::X25519), me: member, rows: &other };
        let changes = ring.receive_epoch(&id, &author, &epoch, &members, None).unwrap();
        other.apply(changes);
        for rows in [&one, &other] {
            for (whose, name) in [(author, "author_chain"), (member, "member_chain")] {
                assert_eq!(rows.0[&Key::Chain(id, whose)], chain_row(0, &bytes(&written[name])));
            }
            assert_eq!(rows.0[&Key::Envelope(id)][1..], bytes(&written["envelope"]));
        }
        let (root, step) = (bytes(&written["next_root"]), step as u32 + 1);
        assert_eq!(one.0[&Key::To(member)], pair_row(&added, step, &root));
        assert_eq!(other.0[&Key::From(author)], pair_row(&[0; 32], step, &root));
    }
}

#[test]
fn messages_are_as_written() {
    let all = file();
    let file = &all["messages"];
    let signer = SigningKey::from_bytes(&[3; 32]);
    let author = MemberId(array(&file["author"]));
    assert_eq!(author.0, signer.verifying_key().to_bytes());
    let epoch = TransactionId(array(&file["epoch"]));
    let key = Key::Chain(epoch, author);
    let mut rows = Memory([(key, chain_row(0, &bytes(&file["chain"])))].into());
    let mut reader = rows.clone();
    for written in file["sealed"].as_array().unwrap() {
        let counter = written["counter"].as_u64().unwrap();
        let header = Header {
            version: HEADER_VERSION,
            context: ContextId([9; 32]),
            author,
            sequence: 2 + counter,
            previous: TransactionId(array(&file["previous"])),
            parents: Vec::new(),
            lamport: 5 + counter,
            timestamp: 1_234_567 + counter,
            kind: Kind::Call as u8,
            epoch: [0; 32],
            counter: 0,
            commitment: [0; 32],
            payload_hash: [0; 32],
            payload_len: 0,
        };
        let ring = Ring { scope: scope(Suite::X25519), me: author, rows: &rows };
        let text = bytes(&written["plaintext"]);
        let (sealed, opened, change) = ring.seal(&epoch, header, &text, &signer).unwrap();
        assert_eq!(opened.payload, [bytes(&written["commitment_key"]), text].concat());
        assert_eq!(sealed.header.commitment, array(&written["commitment"]));
        assert_eq!(sealed.payload, bytes(&written["payload"]));
        assert_eq!(borsh::to_vec(&sealed.header).unwrap(), bytes(&written["header"]));
        assert_eq!(sealed.header.id().0, array(&written["id"]));
        rows.apply([change]);
        assert_eq!(rows.0[&key], chain_row(counter as u32 + 1, &bytes(&written["next_chain"])));
        let ring = Ring { scope: scope(Suite::X25519), me: MemberId([1; 32]), rows: &reader };
        let (read, _, change) = ring.open(&sealed).unwrap();
        assert_eq!(read, opened);
        reader.apply([change]);
    }
    assert!(rows == reader);
}

#[test]
fn envelopes_and_trees_are_as_written() {
    let (all, scope) = (file(), scope(Suite::X25519));
    let file = &all["envelope"];
    let key = first_envelope_key(&scope, &Secret::new(array(&file["access_key"])));
    assert_eq!(key.expose()[..], bytes(&file["key"]));
    assert_eq!(envelope_tag(&scope, &key)[..], bytes(&file["tag"]));
    assert_eq!(gossip_topic(&scope, &key)[..], bytes(&file["topic"]));
    let other = Scope { suite: Suite::XWing, context: ContextId([8; 32]) };
    assert_eq!(gossip_topic(&other, &key)[..], bytes(&file["other_topic"]));
    let content = bytes(&file["content"]);
    let envelope = Envelope::seal(&scope, &key, &content).unwrap();
    assert_eq!(envelope.sealed, bytes(&file["sealed"]));
    assert_eq!(envelope.open(&scope, &key).unwrap(), content);

    let file = &all["tree"];
    let count = file["count"].as_u64().unwrap() as usize;
    let wraps: Vec<u8> = (0..count).flat_map(|number| [number as u8; 88]).collect();
    let author = MemberId(array(&file["author"]));
    assert_eq!(Wraps::of(&scope, &author, &wraps), Wraps::Root(array(&file["root"])));
    assert!(Leaf::of(&scope, &author, &wraps, count).is_none());
    let paths = file["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 5);
    for (index, path) in paths {
        let leaf = Leaf::of(&scope, &author, &wraps, index.parse().unwrap()).unwrap();
        let path: Vec<[u8; 32]> = path.as_array().unwrap().iter().map(array).collect();
        assert_eq!((leaf.wrap[0], leaf.path), (index.parse::<usize>().unwrap() as u8, path), "{index}");
    }
    // The last one goes up alone twice: its path is shorter.
    assert!(paths["372"].as_array().unwrap().len() < paths["0"].as_array().unwrap().len());
}

#[test]
fn the_second_suite_is_as_written() {
    let all = file();
    let file = &all["xwing"];
    let (author, me) = (MemberId(array(&file["author"])), MemberId(array(&file["member"])));
    let mut rows = Memory::default();
    let ring = Ring { scope: scope(Suite::XWing), me, rows: &rows };
    let (key, change) = ring.start(&Secret::new(array(&file["entropy"])));
    assert_eq!(key.key, bytes(&file["public"]));
    rows.apply([change]);
    let mut members = vec![author, me];
    members.sort();
    let written = file["epochs"].as_array().unwrap();
    assert_eq!(written.len(), 3, "the first without a root, and two along the chain of roots");
    for (step, written) in (1..).zip(written) {
        let ring = Ring { scope: scope(Suite::XWing), me, rows: &rows };
        let epoch = Epoch {
            suite: 2,
            commit: array(&written["commit"]),
            ratchet_key: key.clone(),
            recipients: 1,
            wraps: Wraps::Inline(bytes(&written["wrap"])),
        };
        let id = TransactionId(array(&written["id"]));
        let changes = ring.receive_epoch(&id, &author, &epoch, &members, None).unwrap();
        rows.apply(changes);
        let root = bytes(&written["next_root"]);
        assert_eq!(rows.0[&Key::From(author)], pair_row(&[0; 32], step, &root));
        assert_eq!(rows.0[&Key::Chain(id, author)], chain_row(0, &bytes(&written["author_chain"])));
        assert_eq!(rows.0[&Key::Envelope(id)][1..], bytes(&written["envelope"]));
    }
}

/// A wrap at step 0 that is sealed for one commitment and holds the seed of none, made with HPKE alone.
pub fn wrap_of_another_seed(scope: &Scope, author: &MemberId, to: &Recipient, commit: &[u8; 32]) -> Vec<u8> {
    type Kem = X25519HkdfSha256;
    struct Fixed;
    impl hpke::rand_core::TryRng for Fixed {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(4)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(4)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            out.fill(4);
            Ok(())
        }
    }
    impl hpke::rand_core::TryCryptoRng for Fixed {}
    let info = |label: &str, parts: &[&[u8]]| {
        let head = [b"kith 2026 encryption", &[scope.suite as u8][..], &scope.context.0].concat();
        [&head, &[label.len() as u8][..], label.as_bytes(), &parts.concat()].concat()
    };
    let ends: [&[u8]; 2] = [&author.0, &to.member.0];
    let head = [0_u32.to_le_bytes(), to.key.index.to_le_bytes()].concat();
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(&to.key.key).unwrap();
    let (enc, mut context) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &key,
        &info("pair", &ends),
        &mut Fixed,
    )
    .unwrap();
    let aad = info("wrap", &[ends[0], ends[1], commit, &head]);
    let sealed = context.seal(secret(99).expose(), &aad).unwrap();
    [head, enc.to_bytes().to_vec(), sealed].concat()
}
