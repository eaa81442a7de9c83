//! Directories on disks that take no writes, from the beginning or from some moment on: a typed error, nothing lost, nothing left. It needs disks of
//! its own: the test makes a mount namespace with two, and runs the second test below in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kith_core::ErrorKind;
use kith_core::node::{Context, CreateOptions, Level, Node, Options};
use kith_core::storage::{StorageEngine, StorageKey};

use crate::faulty::key;
use crate::opening::at;

const INSIDE: &str = "KITH_TEST_MOUNT_NAMESPACE";
const ENGINES: [(&str, StorageEngine); 2] = [("sled", StorageEngine::Sled), ("redb", StorageEngine::Redb)];
/// How a disk is mounted that gives up writing at the first error.
const WITH_ERRORS: &str = "loop,errors=remount-ro";

// scenario: disk_full
#[test]
fn disks_that_take_no_writes_are_a_typed_error() {
    let script = r#"
        cd "$KITH_TEST_MOUNT_NAMESPACE" && mkdir memory bound disk full && mount -t tmpfs kith memory &&
        truncate -s 128M image && mkfs.ext4 -q image && mount -o loop,errors=remount-ro image disk || exit 77
        exec "$0" --exact readonly::inside_the_namespace --ignored --nocapture
    "#;
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    let output = command.env(INSIDE, directory.path()).output();
    let why = match output {
        Err(error) => format!("`unshare` cannot be run: {error}"),
        Ok(output) => {
            let texts =
                [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
            let [out, err] = &texts;
            if output.status.success() {
                assert!(out.contains("1 passed"), "the test inside did not run: {out}{err}");
                return;
            }
            assert!(!out.contains("running 1 test"), "{out}{err}");
            format!("no disks can be made: {}", err.trim())
        }
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    println!("SKIPPED: {why}");
}

fn mount(words: &[&str], place: &Path) {
    let done = Command::new("mount").args(words).arg(place).status().unwrap();
    assert!(done.success(), "mount {words:?} {place:?}");
}

fn on(place: &Path, engine: StorageEngine) -> Options {
    let mut options = at(place);
    options.storage = engine;
    options
}

async fn has(context: &Context, value: &[u8]) {
    assert_eq!(context.get(key(), Level::Tentative).await.unwrap().as_deref(), Some(value));
    assert_eq!(context.verify().await.unwrap().difference, None);
}

fn files(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

async fn refused(options: Options, what: &str) {
    let error = Node::open(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{what}: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "child of disks_that_take_no_writes_are_a_typed_error: runs in a mount namespace of its own"]
async fn inside_the_namespace() {
    let root = PathBuf::from(std::env::var_os(INSIDE).expect("this test wants disks of its own"));
    for (name, engine) in ENGINES {
        read_only_while_closed(&root, name, engine).await;
        full(&root.join("full"), name, engine).await;
    }
    read_only_while_open(&root.join("disk")).await;
}

/// The disk takes no writes while the node is closed or suspended.
async fn read_only_while_closed(root: &Path, name: &str, engine: StorageEngine) {
    let disk = root.join("memory");
    let place = disk.join(name);
    let node = Node::open(on(&place, engine)).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key(), b"before").await.unwrap();
    let id = context.id();
    node.suspend(crate::nodes::PATIENCE).await.unwrap();
    let before = files(&disk);
    mount(&["-o", "remount,ro"], &disk);
    let error = node.resume().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{name}: resuming: {error}");
    refused(on(&disk.join("new"), engine), "a new directory").await;
    mount(&["-o", "remount,rw"], &disk);
    assert!(files(&disk) == before, "{name}: nothing has changed");
    // The same disk takes writes now, but not here.
    let bound = root.join("bound");
    mount(&["--bind", disk.to_str().unwrap()], &bound);
    mount(&["-o", "remount,bind,ro"], &bound);
    refused(on(&bound.join(name), engine), "a directory that is there").await;
    refused(on(&bound.join("new"), engine), "a new directory beside it").await;
    assert!(Command::new("umount").arg(&bound).status().unwrap().success());
    // The control: what was refused is done now.
    node.resume().await.unwrap();
    has(&context, b"before").await;
    context.put(key(), b"after").await.unwrap();
    node.shutdown().await.unwrap();
    mount(&["-o", "remount,ro"], &disk);
    refused(on(&place, engine), "a directory that is there").await;
    mount(&["-o", "remount,rw"], &disk);
    let node = Node::open(on(&place, engine)).await.unwrap();
    has(&node.context(id).unwrap(), b"after").await;
    node.shutdown().await.unwrap();
}

/// Takes all the room that there is.
fn fill(file: &Path) {
    let mut filler = std::fs::File::create(file).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while filler.write(&vec![1; size]).is_ok_and(|written| written > 0) {}
    }
}

fn is_full<T: std::fmt::Debug>(outcome: kith_core::Result<T>, what: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{what}: {error}");
}

/// Somebody else fills the disk under an open node.
async fn full(disk: &Path, name: &str, engine: StorageEngine) {
    mount(&["-t", "tmpfs", "-o", "size=96m", "kith"], disk);
    let place = disk.join(name);
    let node = Node::open(on(&place, engine)).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key(), b"before").await.unwrap();
    fill(&disk.join("filler"));
    is_full(context.put(key(), b"refused").await, "writing");
    let (export, other) = (disk.join("export"), StorageKey::new([1; 32]));
    is_full(node.export(&export, &other).await, "exporting");
    is_full(node.change_storage_key(other.clone()).await, "another key");
    is_full(Node::open(on(&disk.join("new"), engine)).await, "a new directory");
    has(&context, b"before").await;
    node.suspend(crate::nodes::PATIENCE).await.unwrap();
    is_full(node.resume().await, "resuming");
    is_full(node.sync_once(crate::nodes::PATIENCE).await, "resuming for a moment");
    std::fs::remove_file(disk.join("filler")).unwrap();
    node.resume().await.unwrap();
    has(&context, b"before").await;
    context.put(key(), b"after").await.unwrap();
    // What was refused is done now, and what came of the refusals is in nobody's way.
    node.export(&export, &other).await.unwrap();
    node.change_storage_key(other.clone()).await.unwrap();
    let id = context.id();
    node.shutdown().await.unwrap();
    let mut sealed = on(&place, engine);
    sealed.storage_key = Some(other);
    let node = Node::open(sealed).await.unwrap();
    has(&node.context(id).unwrap(), b"after").await;
    node.shutdown().await.unwrap();
    assert!(Command::new("umount").arg(disk).status().unwrap().success());
}

/// The disk finds something wrong with itself, and takes no more writes, under nodes that are open.
async fn read_only_while_open(disk: &Path) {
    let mut open = Vec::new();
    let mut to_sleep = Vec::new();
    for (name, engine) in ENGINES {
        for (place, nodes) in [(name.to_string(), &mut open), (format!("{name}-sleeps"), &mut to_sleep)] {
            let node = Node::open(on(&disk.join(place), engine)).await.unwrap();
            let context = node.create_context(CreateOptions::default()).await.unwrap();
            context.put(key(), b"acknowledged").await.unwrap();
            nodes.push((name, engine, node, context));
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == disk.to_str()).unwrap();
    let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
    std::fs::write(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error"), b"1").unwrap();
    let mut ids = Vec::new();
    for (name, engine, node, context) in open {
        let error = context.put(key(), b"refused").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{name}: {error}");
        // A store that could not make something durable is not believed any more until it is opened again.
        match context.get(key(), Level::Tentative).await {
            Ok(found) => assert_eq!(found.as_deref(), Some(&b"acknowledged"[..]), "{name}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{name}: {error}"),
        }
        let again = context.put(key(), b"refused").await.unwrap_err();
        assert!(matches!(again.kind(), ErrorKind::Storage | ErrorKind::Closed), "{name}: {again}");
        // It may say that not all could be written; but it ends.
        if let Err(error) = node.shutdown().await {
            assert_eq!(error.kind(), ErrorKind::Storage, "{name}: {error}");
        }
        ids.push((name, engine, context.id()));
    }
    for (name, _, node, context) in &to_sleep {
        // As above: nothing more can be written, also not that all was closed in order.
        let error = context.put(key(), b"refused").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{name}: {error}");
        let error = node.suspend(crate::nodes::PATIENCE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{name}: {error}");
        assert!(node.is_suspended(), "{name}");
    }
    // Who sleeps has given everything back all the same.
    assert!(Command::new("umount").arg(disk).status().unwrap().success());
    let image = disk.parent().unwrap().join("image");
    mount(&["-o", WITH_ERRORS, image.to_str().unwrap()], disk);
    for (name, engine, id) in ids {
        let node = Node::open(on(&disk.join(name), engine)).await.unwrap();
        let context = node.context(id).unwrap();
        has(&context, b"acknowledged").await;
        context.put(key(), b"and on").await.unwrap();
        has(&context, b"and on").await;
        node.shutdown().await.unwrap();
    }
    for (name, _, node, context) in to_sleep {
        node.resume().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        has(&context, b"acknowledged").await;
        context.put(key(), b"and on").await.unwrap();
        node.shutdown().await.unwrap();
    }
    assert!(Command::new("umount").arg(disk).status().unwrap().success());
}
