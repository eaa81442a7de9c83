//! A model of losing power: what is durable is what was synced, and of everything else any part may have survived.
//!
//! The recorder watches this crate's own syncs. An image has the directory entries as of each directory's last sync, and of
//! each file every page of 4 KiB either as of the file's last sync or as it is at the moment, as a seed chooses. Syncs that
//! sled makes itself (when it opens and closes) are not seen: an image may lack what they made durable, never have more
//! than the medium could. A rename or an entry that was not synced is always lost in an image; that real systems may keep
//! it is the case of "current" entries that the tests with SIGKILL cover. This is no recording of every system call.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::storage::files::{Event, Observer};

const PAGE: usize = 4096;

/// Which pages survive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survivors {
    /// Only what was synced.
    Synced,
    /// Everything.
    Current,
    /// Of 256 pages about so many, by this seed.
    Some(u8, u64),
}

#[derive(Clone)]
struct FileState {
    synced: Arc<Vec<u8>>,
    current: Vec<u8>,
}

/// Everything that an image can be made of, at one moment.
pub(super) struct Capture {
    /// By path below the root.
    files: BTreeMap<PathBuf, FileState>,
    directories: Vec<PathBuf>,
    /// What the test had noted as acknowledged by then.
    pub(super) acknowledged: u64,
}

#[derive(Default)]
struct State {
    synced: HashMap<u64, Arc<Vec<u8>>>,
    entries: HashMap<u64, BTreeMap<OsString, u64>>,
    events: u64,
    captures: Vec<Capture>,
}

pub(super) struct Recorder {
    root: PathBuf,
    /// The test's own progress.
    pub(super) acknowledged: AtomicU64,
    /// A capture is taken at each event whose number this divides; 0 for none.
    pub(super) capture_every: AtomicU64,
    state: Mutex<State>,
}

impl Recorder {
    pub(super) fn new(root: &Path) -> Arc<Self> {
        Arc::new(Self {
            root: root.to_owned(),
            acknowledged: AtomicU64::new(0),
            capture_every: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// An image can be made of what is there now.
    pub(super) fn capture(&self) {
        let mut state = self.state.lock().unwrap();
        let capture = self.capture_of(&state);
        state.captures.push(capture);
    }

    pub(super) fn take_captures(&self) -> Vec<Capture> {
        std::mem::take(&mut self.state.lock().unwrap().captures)
    }

    fn capture_of(&self, state: &State) -> Capture {
        let mut capture = Capture {
            files: BTreeMap::new(),
            directories: Vec::new(),
            acknowledged: self.acknowledged.load(Ordering::SeqCst),
        };
        let mut by_inode = HashMap::new();
        collect(&self.root, &mut by_inode);
        let root = fs::metadata(&self.root).unwrap().ino();
        place(state, &by_inode, root, Path::new(""), &mut capture);
        capture
    }
}

/// The present content of every file, and `None` for every directory.
fn collect(directory: &Path, found: &mut HashMap<u64, Option<Vec<u8>>>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            found.insert(metadata.ino(), None);
            collect(&entry.path(), found);
        } else if let Ok(content) = fs::read(entry.path()) {
            found.insert(metadata.ino(), Some(content));
        }
    }
}

/// Follows the synced entries from a directory down.
fn place(
    state: &State,
    by_inode: &HashMap<u64, Option<Vec<u8>>>,
    directory: u64,
    at: &Path,
    capture: &mut Capture,
) {
    for (name, inode) in state.entries.get(&directory).into_iter().flatten() {
        let path = at.join(name);
        match by_inode.get(inode) {
            Some(None) => {
                capture.directories.push(path.clone());
                place(state, by_inode, *inode, &path, capture);
            }
            Some(Some(current)) => {
                let synced = state.synced.get(inode).cloned().unwrap_or_default();
                capture.files.insert(path, FileState { synced, current: current.clone() });
            }
            // Removed since, and the removal not synced: what was synced is there again.
            None => {
                if let Some(synced) = state.synced.get(inode) {
                    let file = FileState { synced: synced.clone(), current: Vec::new() };
                    capture.files.insert(path, file);
                }
            }
        }
    }
}

impl Observer for Recorder {
    fn before(&self, event: Event<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.events += 1;
        let every = self.capture_every.load(Ordering::SeqCst);
        if every > 0 && state.events.is_multiple_of(every) {
            let capture = self.capture_of(&state);
            state.captures.push(capture);
        }
        match event {
            Event::SyncFile(path) => {
                let inode = fs::metadata(path)?.ino();
                state.synced.insert(inode, Arc::new(fs::read(path)?));
            }
            // Others change what lies beside the root.
            Event::SyncDirectory(path) if !path.starts_with(&self.root) => {}
            Event::SyncDirectory(path) => {
                let mut entries = BTreeMap::new();
                for entry in fs::read_dir(path)? {
                    let entry = entry?;
                    entries.insert(entry.file_name(), entry.metadata()?.ino());
                }
                state.entries.insert(fs::metadata(path)?.ino(), entries);
            }
            Event::Rename | Event::Write => {}
        }
        Ok(())
    }
}

impl Capture {
    /// Writes the image into an empty directory.
    pub(super) fn write(&self, to: &Path, survivors: Survivors) {
        for directory in &self.directories {
            fs::create_dir_all(to.join(directory)).unwrap();
        }
        for (path, file) in &self.files {
            fs::write(to.join(path), file.image(path, survivors)).unwrap();
        }
    }
}

impl FileState {
    fn image(&self, path: &Path, survivors: Survivors) -> Vec<u8> {
        let mut image = self.synced.to_vec();
        let length = self.current.len().max(self.synced.len());
        for (number, from) in (0..length).step_by(PAGE).enumerate() {
            let survives = match survivors {
                Survivors::Synced => false,
                Survivors::Current => true,
                Survivors::Some(share, seed) => {
                    let mut hasher = blake3::Hasher::new();
                    hasher.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
                    hasher.update(path.as_os_str().as_encoded_bytes());
                    hasher.finalize().as_bytes()[0] < share
                }
            };
            let Some(current) = self.current.get(from..self.current.len().min(from + PAGE)) else { continue };
            if survives && !current.is_empty() {
                if image.len() < from + current.len() {
                    image.resize(from + current.len(), 0);
                }
                image[from..from + current.len()].copy_from_slice(current);
            }
        }
        image
    }
}

#[test]
fn the_model_loses_what_was_not_synced() {
    use crate::storage::files::Files;
    let root = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(root.path());
    let files = Files::observed(recorder.clone());
    let path = |name: &str| root.path().join(name);
    let long = vec![1; 3 * PAGE];
    for name in ["entry", "content", "neither", "removed"] {
        fs::write(path(name), &long).unwrap();
    }
    files.sync_file(&path("content"), &fs::File::open(path("content")).unwrap()).unwrap();
    files.sync_file(&path("removed"), &fs::File::open(path("removed")).unwrap()).unwrap();
    fs::rename(path("neither"), root.path().join("aside")).unwrap();
    files.sync_directory(root.path()).unwrap();
    fs::rename(path("aside"), path("neither")).unwrap();
    fs::remove_file(path("removed")).unwrap();
    fs::write(path("content"), vec![2; 3 * PAGE]).unwrap();
    fs::write(path("late"), &long).unwrap();
    recorder.capture();
    let capture = recorder.take_captures().remove(0);
    let image = |survivors| {
        let image = tempfile::tempdir().unwrap();
        capture.write(image.path(), survivors);
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(image.path()).unwrap().flatten() {
            found.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
        found
    };
    let synced = image(Survivors::Synced);
    assert_eq!(synced.keys().collect::<Vec<_>>(), ["aside", "content", "entry", "removed"]);
    assert!(synced["aside"].is_empty() && synced["entry"].is_empty());
    assert_eq!(synced["content"], long);
    assert_eq!(synced["removed"], long);
    assert_eq!(image(Survivors::Current)["content"], vec![2; 3 * PAGE]);
    let mixed = image(Survivors::Some(128, 3));
    let pages: Vec<u8> = mixed["content"].chunks(PAGE).map(|page| page[0]).collect();
    assert!(pages.contains(&1) && pages.contains(&2), "{pages:?}");
}
