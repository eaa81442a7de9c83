//! The program on the directory of a real node: what it shows is what is there, it changes nothing, and its bundle holds nothing that is
//! anybody's own.
#![allow(clippy::unwrap_used)]

mod marks;
mod sizes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use kith_core::network::{Hub, PeerId};
use kith_core::node::inspection::{Inspection, Stage};
use kith_core::node::{Context, CreateOptions, InviteOptions, JoinOptions, Level, Node, Options};
use kith_core::replica::StateKey;
use kith_core::storage::{self, Batch, Durability, Keyspace, StorageEngine, StorageKey, Store};
use serde_json::Value;

const CONTEXT: &str = "The Hollow Garden <&>";
const MEMBER: &str = "Wilhelmina Unmistakable";
const NOTE: &str = "come in by the back door";
const VALUE: &str = "forty-two pears in syrup";
const PATIENCE: Duration = Duration::from_secs(60);

fn options(hub: &Hub, path: &Path) -> Options {
    let mut options = Options::in_memory(hub);
    options.path = Some(path.to_owned());
    options
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let done = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(done.await.is_ok(), "{what}");
}

async fn same(one: &Context, other: &Context) {
    until("both hold the same", async || {
        one.status().await.unwrap().digest == other.status().await.unwrap().digest
    })
    .await;
}

async fn join(from: &Context, node: &Node) -> Context {
    let mut options = InviteOptions::default();
    options.note = NOTE.into();
    let token = from.invite(options).await.unwrap().to_text();
    node.join(&token, JoinOptions::default()).await.unwrap()
}

/// A directory whose node is a member of one context, with two that wrote without knowing of each other, and is joining another one.
struct Made {
    folder: tempfile::TempDir,
    context: String,
    transactions: u64,
    token: String,
    /// Suspended in the middle of joining.
    node: Node,
    joining: tokio::task::JoinHandle<kith_core::Result<()>>,
}

async fn make() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let anna = Node::open(options(&hub, folder.path())).await.unwrap();
    let ben = Node::open(Options::in_memory(&hub)).await.unwrap();
    let mut garden = CreateOptions::default();
    garden.name = CONTEXT.into();
    let mine = anna.create_context(garden).await.unwrap();
    mine.set_display_name(MEMBER).await.unwrap();
    let pears = StateKey::of("pantry", "pears");
    mine.put(pears, b"none").await.unwrap();
    let yours = join(&mine, &ben).await;
    same(&mine, &yours).await;
    // Each swaps what is there; whoever sorts later finds another value and is rejected.
    let (a, b) = (anna.id().parse::<PeerId>().unwrap(), ben.id().parse::<PeerId>().unwrap());
    hub.partition(a, b);
    mine.compare_and_set(pears, Some(b"none"), Some(VALUE.as_bytes())).await.unwrap();
    yours.compare_and_set(pears, Some(b"none"), Some(VALUE.as_bytes())).await.unwrap();
    hub.heal(a, b);
    anna.sync_once(PATIENCE).await.unwrap();
    same(&mine, &yours).await;
    assert_eq!(mine.get(pears, Level::Tentative).await.unwrap().as_deref(), Some(VALUE.as_bytes()));

    // Somebody who is gone invites: the token stays in the store for as long as joining goes on.
    let carol = Node::open(Options::in_memory(&hub)).await.unwrap();
    let hers = carol.create_context(CreateOptions::default()).await.unwrap();
    let mut options = InviteOptions::default();
    options.note = NOTE.into();
    let token = hers.invite(options).await.unwrap().to_text();
    carol.shutdown().await.unwrap();
    let (joiner, text) = (anna.clone(), token.clone());
    let joining = tokio::spawn(async move { joiner.join(&text, JoinOptions::default()).await.map(drop) });
    until("joining has begun", async || anna.contexts().unwrap().len() == 2).await;

    let running = inspect(folder.path(), &["summary"]);
    assert_eq!(running.status.code(), Some(1));
    assert!(text_of(&running.stderr).contains("Busy"), "{}", text_of(&running.stderr));

    let transactions = mine.status().await.unwrap().transactions;
    anna.suspend(PATIENCE).await.unwrap();
    let made =
        Made { context: mine.id().to_string(), folder, transactions, token, node: anna.clone(), joining };
    ben.shutdown().await.unwrap();
    made
}

fn inspect(directory: &Path, words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_kith-inspect");
    Command::new(program).arg(directory).args(words).output().unwrap()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn good(directory: &Path, words: &[&str]) -> String {
    let output = inspect(directory, words);
    assert!(output.status.success(), "{words:?}: {}", text_of(&output.stderr));
    text_of(&output.stdout)
}

fn json(directory: &Path, words: &[&str]) -> Value {
    serde_json::from_str(&good(directory, &[words, &["--json"]].concat())).unwrap()
}

/// Every file below a directory, with what is in it.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Every row that layers above the engine can see, one behind the other.
fn rows(store: &dyn Store) -> Vec<u8> {
    let snapshot = store.snapshot().unwrap();
    let mut all = Vec::new();
    for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks) {
        for (key, value) in snapshot.scan(keyspace, &[], None, false, usize::MAX).unwrap() {
            all.extend(key);
            all.extend(value);
        }
    }
    all
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Whether bytes are in a text: as they are, in hexadecimal, or as numbers in a list.
fn betrays(text: &str, secret: &[u8]) -> bool {
    let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = secret.iter().map(u8::to_string).collect();
    holds(text.as_bytes(), secret) || dense.to_lowercase().contains(&hex) || dense.contains(&list.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_shown_as_it_is_and_stays_so_and_nothing_private_gets_into_the_bundle() {
    let made = make().await;
    let directory = made.folder.path();
    let before = files(directory);

    let node = json(directory, &["summary"]);
    assert_eq!(node["contexts"].as_array().unwrap().len(), 2);
    let shown =
        node["contexts"].as_array().unwrap().iter().find(|c| c["id"] == made.context.as_str()).unwrap();
    assert_eq!((&shown["name"], &shown["stage"]), (&CONTEXT.into(), &"member".into()));
    assert_eq!(shown["transactions"], made.transactions);
    assert_eq!(shown["members"].as_array().unwrap().len(), 2);
    assert!(
        shown["members"].as_array().unwrap().iter().any(|m| m["name"] == MEMBER && m["id"] == shown["me"])
    );
    assert!(node["contexts"].as_array().unwrap().iter().any(|c| c["stage"] == "joining"));
    assert!(good(directory, &[]).contains(CONTEXT));
    assert!(good(directory, &["members"]).contains(MEMBER));

    let chosen = ["history", "--context", &made.context[..10]];
    let history = json(directory, &chosen);
    let entries = history[0]["shown"].as_array().unwrap();
    assert_eq!(entries.len() as u64, made.transactions);
    let rejected: Vec<_> = entries.iter().filter(|entry| entry["outcome"] == "application").collect();
    let unseen: Vec<_> = entries.iter().filter(|entry| entry["unseen"] != 0).collect();
    // The later one of the two that swapped, and its epoch; and where the joiner's first word was still under way, the other line and its epoch are unseen too.
    assert_eq!(rejected.len(), 1);
    assert!(unseen.contains(&rejected[0]) && unseen.len() <= 4, "{}", good(directory, &chosen));
    let tail = json(directory, &[&chosen[..], &["--last", "2"]].concat());
    assert_eq!(tail[0]["shown"].as_array().unwrap().len(), 2);
    assert_eq!(tail[0]["before"], made.transactions - 2);
    assert!(good(directory, &["history"]).contains("REJECTED"));

    let scratch = tempfile::tempdir().unwrap();
    let picture = scratch.path().join("picture.svg");
    let words = [&chosen[..], &["--svg", picture.to_str().unwrap()]].concat();
    good(directory, &words);
    let svg = fs::read_to_string(&picture).unwrap();
    // One of each is in the legend.
    let circles = |class: &str| svg.matches(&format!("<circle class=\"{class}\"")).count() - 1;
    assert_eq!(circles("accepted") as u64, made.transactions - 1);
    assert_eq!((circles("rejected"), circles("unseen"), circles("forked")), (1, unseen.len(), 0));
    let edges: usize = entries.iter().map(|entry| entry["edges"].as_array().unwrap().len()).sum();
    assert_eq!(svg.matches("<path class=\"edge").count(), edges);
    assert_eq!(svg.matches("class=\"lane\"").count(), 2);
    assert!(svg.contains(MEMBER));
    assert_eq!(inspect(directory, &words).status.code(), Some(1), "nothing is written over");

    let checked = json(directory, &["check"]);
    assert!(checked["contexts"].as_array().unwrap().iter().all(|c| c["difference"].is_null()), "{checked}");
    assert!(good(directory, &["sizes"]).contains("transactions"));

    let file = scratch.path().join("bundle.json");
    good(directory, &["bundle", "--output", file.to_str().unwrap()]);
    let bundle = fs::read_to_string(&file).unwrap();
    let parsed: Value = serde_json::from_str(&bundle).unwrap();
    let contexts = parsed["contexts"].as_array().unwrap();
    let context = contexts.iter().find(|c| c["id"] == made.context.as_str()).unwrap();
    assert_eq!(context["history"].as_array().unwrap().len() as u64, made.transactions);
    assert!(context["check"]["difference"].is_null());

    let copy = tempfile::tempdir().unwrap();
    let inspection = Inspection::of_copy(directory, copy.path(), None).unwrap();
    assert!(inspection.contexts().unwrap().iter().any(|held| held.stage == Stage::Joining));
    let raw = rows(inspection.store());
    let invitation = kith_core::invitation::Invitation::from_text(&made.token).unwrap();
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("the context's name", CONTEXT.into()),
        ("a member's name", MEMBER.into()),
        ("a note", NOTE.into()),
        ("a value", VALUE.into()),
        ("the token", invitation.to_bytes()),
        ("the token's secret", invitation.secret.to_vec()),
        ("the access key in the token", invitation.access_key.to_vec()),
        ("a state key", StateKey::of("pantry", "pears").0.to_vec()),
    ];
    secrets.extend(invitation.addresses.iter().map(|address| ("an address", address.clone().into_bytes())));
    let keys = inspection.store().snapshot().unwrap().scan(Keyspace::Keys, &[], None, false, 100).unwrap();
    let (ring, own): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(key, _)| key[4..].starts_with(b"ring/"));
    assert_eq!(own.len(), 3, "of the node, and of a member in two contexts");
    assert!(!ring.is_empty(), "what calls are sealed with");
    secrets.extend(own.into_iter().map(|(_, key)| ("a private key", key)));
    secrets.extend(ring.into_iter().map(|(_, row)| ("a row of keys", row)));
    let key_file = fs::read_to_string(directory.join("storage-key")).unwrap();
    assert!(!betrays(&bundle, &key_file.as_bytes()[..64]), "the storage key is in the bundle");
    for (what, secret) in &secrets {
        assert!(holds(&raw, secret), "{what} is in the store, or the search does not work");
        assert!(!betrays(&bundle, secret), "{what} is in the bundle");
    }
    assert!(!bundle.contains("kith1"), "a token is in the bundle");
    // The search finds what is there.
    for seen in
        [format!("x{VALUE}"), serde_json::to_string_pretty(VALUE.as_bytes()).unwrap(), "666F727479".into()]
    {
        assert!(betrays(&seen, VALUE.as_bytes()) || betrays(&seen, b"forty"), "{seen}");
    }
    drop(inspection);
    assert!(files(directory) == before, "the directory was changed");
    made.node.shutdown().await.unwrap();
    assert!(made.joining.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_what_is_no_nodes_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let node = Node::open(options(&hub, folder.path())).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    for n in 0..20u8 {
        context.put(StateKey::of("pantry", &n.to_string()), VALUE.as_bytes()).await.unwrap();
    }
    node.shutdown().await.unwrap();
    good(folder.path(), &["check"]);

    // A value that no transaction wrote, in a record that is itself whole.
    let changed = tempfile::tempdir().unwrap();
    copy(folder.path(), changed.path());
    let store = storage::open(changed.path(), StorageEngine::Auto, None, None).unwrap();
    let state = store.snapshot().unwrap().scan(Keyspace::State, &[], None, false, 1).unwrap();
    let (key, mut value) = state.into_iter().next().unwrap();
    *value.last_mut().unwrap() ^= 1;
    let mut batch = Batch::default();
    batch.put(Keyspace::State, key, value);
    store.commit(&batch, Durability::Power).unwrap();
    store.close().unwrap();
    let found = inspect(changed.path(), &["check"]);
    assert_eq!(found.status.code(), Some(3), "{}", text_of(&found.stderr));
    assert!(text_of(&found.stdout).contains("DIFFERENT: the value"), "{}", text_of(&found.stdout));

    // A bit flipped here and there in what the engine has written: told as damage, by the records or by the engine.
    let flipped = tempfile::tempdir().unwrap();
    copy(folder.path(), flipped.path());
    let database = flipped.path().join("store/data.redb");
    let mut bytes = fs::read(&database).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[..used].iter_mut().skip(700).step_by(300).for_each(|byte| *byte ^= 1);
    fs::write(database, bytes).unwrap();
    let found = inspect(flipped.path(), &["check"]);
    let said = text_of(&found.stdout) + &text_of(&found.stderr);
    assert!(matches!(found.status.code(), Some(1 | 3)) && said.contains("Corrupt"), "{said}");

    let empty = tempfile::tempdir().unwrap();
    let missing = empty.path().join("missing");
    for directory in [empty.path(), &missing] {
        let refused = inspect(directory, &[]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text_of(&refused.stderr).contains("NotFound"), "{}", text_of(&refused.stderr));
    }
    assert!(!missing.exists() && files(empty.path()).is_empty(), "looking makes nothing");
    assert_eq!(inspect(folder.path(), &["dance"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_whose_key_the_host_keeps_needs_it() {
    let hub = Hub::new();
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str, content: &[u8]| {
        let path = files.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_string()
    };
    let raw = at("raw", &[7; 32]);
    let hex = at("hex", format!("{}\n", "07".repeat(32)).as_bytes());
    let other = at("other", &[8; 32]);
    let short = at("short", &[8; 31]);
    let words = at("words", "grün und blau\n".as_bytes());
    let right = [
        (StorageKey::new([7; 32]), vec![["--key-file", &raw], ["--key-file", &hex]]),
        (StorageKey::from_passphrase("grün und blau").unwrap(), vec![["--passphrase-file", &words]]),
    ];
    for (key, right) in right {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&hub, folder.path());
        options.storage_key = Some(key);
        let node = Node::open(options).await.unwrap();
        node.create_context(CreateOptions::default()).await.unwrap();
        node.shutdown().await.unwrap();
        for wrong in [&[][..], &["--key-file", &other], &["--passphrase-file", &raw]] {
            let refused = inspect(folder.path(), wrong);
            assert_eq!(refused.status.code(), Some(1));
            assert!(text_of(&refused.stderr).contains("KeyRequired"), "{}", text_of(&refused.stderr));
        }
        let refused = inspect(folder.path(), &["--key-file", &short]);
        assert!(text_of(&refused.stderr).contains("InvalidArgument"), "{}", text_of(&refused.stderr));
        for words in right {
            good(folder.path(), &[&["check"], &words[..]].concat());
        }
    }
    // A node's own key file is a key file like any other.
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(options(&hub, folder.path())).await.unwrap();
    node.shutdown().await.unwrap();
    let moved = files.path().join("moved");
    fs::rename(folder.path().join("storage-key"), &moved).unwrap();
    assert_eq!(inspect(folder.path(), &[]).status.code(), Some(1));
    good(folder.path(), &["--key-file", moved.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_exported_imported_and_adopted() {
    let hub = Hub::new();
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let word = |name: &str| at(name).to_str().unwrap().to_string();
    let node = Node::open(options(&hub, &at("node"))).await.unwrap();
    node.create_context(CreateOptions::default()).await.unwrap();
    let peer = node.id();
    node.shutdown().await.unwrap();
    fs::write(at("words"), "for the export\n").unwrap();
    let export = |name: &str, more: &[&str]| {
        let (output, words) = (word(name), word("words"));
        let words = ["export", "--output", &output, "--export-passphrase-file", &words];
        inspect(&at("node"), &[&words[..], more].concat())
    };
    assert!(export("backup", &[]).status.success());
    let again = export("backup", &[]);
    assert!(text_of(&again.stderr).contains("InvalidArgument"), "{}", text_of(&again.stderr));
    let moved = export("move", &["--move"]);
    assert!(text_of(&moved.stdout).contains("signs nothing"), "{}", text_of(&moved.stdout));
    for (from, copied, engine) in [("backup", true, "redb"), ("move", false, "redb"), ("move", false, "sled")]
    {
        let to = at(&format!("from-{from}-{engine}"));
        let (input, words) = (word(from), word("words"));
        let words = ["import", "--input", &input, "--export-passphrase-file", &words, "--engine", engine];
        good(&to, &words);
        assert_eq!(inspect(&to, &words).status.code(), Some(1), "nothing is written over");
        good(&to, &["check"]);
        let node = Node::open(options(&hub, &to)).await.unwrap();
        assert_eq!(node.id(), peer);
        assert_eq!(node.status().await.unwrap().copied, copied);
        node.shutdown().await.unwrap();
    }
    good(&at("from-backup-redb"), &["adopt"]);
    let node = Node::open(options(&hub, &at("from-backup-redb"))).await.unwrap();
    assert!(!node.status().await.unwrap().copied);
    node.shutdown().await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}
