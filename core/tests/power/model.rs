//! A medium that loses power: what it may have, after the calls so far.
//!
//! - Each page of 4 KiB of a file is as of the last sync that succeeded, or as any one write since then has left it; each page
//!   by itself. A page is not torn.
//! - Changes of a file's length survive in order, as far as a point. Writes behind a lost shortening, in what it cut off, and
//!   beyond the end that a lost lengthening would have moved, are lost with it.
//! - Changes of a directory survive in order, as far as a point that is not before the directory's last sync: in a journal
//!   the point is one for all directories, otherwise each directory has its own.
//! - A sync that failed has made nothing durable, and neither does a later one, but for pages that are written again.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::log::Op;
use super::workload::Random;

pub const PAGE: usize = 4096;
type Page = Arc<[u8; PAGE]>;
/// Of names, at once; `None` removes.
type EntryChanges = Vec<(String, Option<usize>)>;

/// What survives in an image, apart from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Everything: the process has died and the system has not.
    All,
    /// Of 256 written pages, of 256 changes of a length about so many; directories by one journal or each for itself.
    Some { share: u8, journal: bool },
}

/// Content by path; `None` is a directory.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Clone)]
enum Change {
    /// This page has this content, and the file at least this length.
    Page {
        number: usize,
        content: Page,
        end: u64,
        stuck: bool,
    },
    Length(u64),
}

#[derive(Default)]
struct File {
    durable: Vec<Option<Page>>,
    durable_length: u64,
    current: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Default)]
struct Directory {
    durable: BTreeMap<String, usize>,
    current: BTreeMap<String, usize>,
    /// With the number that each had among all changes of directories.
    pending: Vec<(u64, EntryChanges)>,
}

enum Object {
    File(File),
    Directory(Directory),
}

pub struct Model {
    objects: Vec<Object>,
    by_inode: HashMap<u64, usize>,
    changes: u64,
    /// The last change of a directory that a sync of that directory has made durable.
    journaled: u64,
}

const ROOT: usize = 0;

impl Model {
    /// Everything that is in the directory is durable.
    pub fn of(directory: &Path) -> Self {
        let root = Object::Directory(Directory::default());
        let mut model = Self { objects: vec![root], by_inode: HashMap::new(), changes: 0, journaled: 0 };
        model.take_in(directory, ROOT);
        model
    }

    #[cfg(unix)]
    fn take_in(&mut self, directory: &Path, at: usize) {
        use std::os::unix::fs::MetadataExt as _;
        self.by_inode.insert(fs::metadata(directory).unwrap().ino(), at);
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let is_directory = entry.file_type().unwrap().is_dir();
            let number = self.objects.len();
            if is_directory {
                self.objects.push(Object::Directory(Directory::default()));
                self.take_in(&entry.path(), number);
            } else {
                let mut file = File { current: fs::read(entry.path()).unwrap(), ..File::default() };
                file.everything_durable();
                self.objects.push(Object::File(file));
                self.by_inode.insert(entry.metadata().unwrap().ino(), number);
            }
            let name = entry.file_name().into_string().unwrap();
            let Object::Directory(parent) = &mut self.objects[at] else { unreachable!() };
            parent.durable.insert(name.clone(), number);
            parent.current.insert(name, number);
        }
    }

    /// The root has this inode.
    pub fn root_is(&mut self, inode: u64) {
        self.by_inode.insert(inode, ROOT);
    }

    fn file(&mut self, inode: u64) -> Result<&mut File, String> {
        let number = *self.by_inode.get(&inode).ok_or("a file that was never created")?;
        match &mut self.objects[number] {
            Object::File(file) => Ok(file),
            Object::Directory(_) => Err("a directory where a file was expected".to_owned()),
        }
    }

    fn directory(&mut self, number: usize) -> Result<&mut Directory, String> {
        match &mut self.objects[number] {
            Object::Directory(directory) => Ok(directory),
            Object::File(_) => Err("a file where a directory was expected".to_owned()),
        }
    }

    /// The directory of an entry, and the entry's name.
    fn parent(&mut self, path: &Path) -> Result<(usize, String), String> {
        let mut at = ROOT;
        let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        let last = names.pop().ok_or("an entry without a name")?;
        for name in names {
            let found = self.directory(at)?.current.get(&name);
            at = *found.ok_or_else(|| format!("{} is not there", path.display()))?;
        }
        Ok((at, last))
    }

    fn change_directory(&mut self, at: usize, changes: EntryChanges) -> Result<(), String> {
        self.changes += 1;
        let number = self.changes;
        let directory = self.directory(at)?;
        apply(&mut directory.current, &changes);
        directory.pending.push((number, changes));
        Ok(())
    }

    /// Carries out one call.
    pub fn apply(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Write { file, at, bytes } => self.file(*file)?.write(*at as usize, bytes),
            Op::Length { file, length } => self.file(*file)?.set_length(*length),
            Op::Sync { file, failed } => self.file(*file)?.sync(*failed),
            Op::SyncDirectory { directory, failed } => {
                let at = *self.by_inode.get(directory).ok_or("a directory that was never made")?;
                if !failed {
                    let directory = self.directory(at)?;
                    let last = directory.pending.last().map_or(0, |(number, _)| *number);
                    for (_, changes) in std::mem::take(&mut directory.pending) {
                        apply(&mut directory.durable, &changes);
                    }
                    self.journaled = self.journaled.max(last);
                }
            }
            Op::Create { path, file } => self.add(path, *file, Object::File(File::default()))?,
            Op::MakeDirectory { path, directory } => {
                self.add(path, *directory, Object::Directory(Directory::default()))?;
            }
            Op::Rename { from, to } => {
                let (from, old) = self.parent(from)?;
                let (to, new) = self.parent(to)?;
                if from != to {
                    return Err("a rename from one directory to another is not modelled".to_owned());
                }
                let moved = self.directory(from)?.current.get(&old).copied();
                self.change_directory(
                    from,
                    vec![(old, None), (new, Some(moved.ok_or("a rename of nothing")?))],
                )?;
            }
            Op::Remove { path } | Op::RemoveDirectory { path } => {
                let (at, name) = self.parent(path)?;
                self.change_directory(at, vec![(name, None)])?;
            }
            Op::Mark(_) | Op::Range | Op::Fault { .. } => {}
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, inode: u64, object: Object) -> Result<(), String> {
        let number = self.objects.len();
        self.objects.push(object);
        self.by_inode.insert(inode, number);
        let (at, name) = self.parent(path)?;
        self.change_directory(at, vec![(name, Some(number))])
    }

    /// What the running system sees.
    pub fn present(&self) -> Tree {
        self.image(Survivors::All, &mut Random(0))
    }

    /// One of the media that there may be after a crash at this moment.
    pub fn image(&self, survivors: Survivors, random: &mut Random) -> Tree {
        let mut tree = Tree::new();
        let point = self.journaled + random.below(self.changes - self.journaled + 1);
        self.place(ROOT, "", survivors, point, random, &mut tree);
        tree
    }

    fn place(
        &self,
        at: usize,
        path: &str,
        survivors: Survivors,
        point: u64,
        random: &mut Random,
        tree: &mut Tree,
    ) {
        let Object::Directory(directory) = &self.objects[at] else { return };
        let mut entries = directory.durable.clone();
        let survive = match survivors {
            Survivors::All => directory.pending.len(),
            Survivors::Some { journal: true, .. } => {
                directory.pending.partition_point(|(number, _)| *number <= point)
            }
            Survivors::Some { .. } => random.below(directory.pending.len() as u64 + 1) as usize,
        };
        for (_, changes) in &directory.pending[..survive] {
            apply(&mut entries, changes);
        }
        for (name, number) in entries {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            match &self.objects[number] {
                Object::File(file) => {
                    tree.insert(path, Some(file.image(survivors, random)));
                }
                Object::Directory(_) => {
                    tree.insert(path.clone(), None);
                    self.place(number, &path, survivors, point, random, tree);
                }
            }
        }
    }
}

fn apply(entries: &mut BTreeMap<String, usize>, changes: &[(String, Option<usize>)]) {
    for (name, number) in changes {
        match number {
            Some(number) => entries.insert(name.clone(), *number),
            None => entries.remove(name),
        };
    }
}

impl File {
    fn page(&self, number: usize) -> Page {
        let mut page = [0; PAGE];
        let from = number * PAGE;
        if let Some(content) = self.current.get(from..self.current.len().min(from + PAGE)) {
            page[..content.len()].copy_from_slice(content);
        }
        Arc::new(page)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[at..end].copy_from_slice(bytes);
        for number in at / PAGE..end.div_ceil(PAGE) {
            let content = self.page(number);
            let end = self.current.len().min((number + 1) * PAGE) as u64;
            self.pending.push(Change::Page { number, content, end, stuck: false });
        }
    }

    fn set_length(&mut self, length: u64) {
        self.current.resize(length as usize, 0);
        self.pending.push(Change::Length(length));
    }

    fn everything_durable(&mut self) {
        self.durable = (0..self.current.len().div_ceil(PAGE)).map(|number| Some(self.page(number))).collect();
        self.durable_length = self.current.len() as u64;
        self.pending.clear();
    }

    fn sync(&mut self, failed: bool) {
        if failed {
            for change in &mut self.pending {
                if let Change::Page { stuck, .. } = change {
                    *stuck = true;
                }
            }
            return;
        }
        // A page that was written again since a sync failed is written out as a whole.
        let mut last: HashMap<usize, bool> = HashMap::new();
        for change in &self.pending {
            if let Change::Page { number, stuck, .. } = change {
                last.insert(*number, *stuck);
            }
        }
        let is_stuck = |change: &Change| match change {
            Change::Page { number, .. } => last.get(number).copied().unwrap_or(false),
            Change::Length(_) => false,
        };
        let (stuck, clean): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(is_stuck);
        let mut image = Image { pages: std::mem::take(&mut self.durable), length: self.durable_length };
        for change in &clean {
            image.change(change);
        }
        image.set_length(self.current.len() as u64);
        (self.durable, self.durable_length) = (image.pages, image.length);
        self.pending = stuck;
    }

    fn image(&self, survivors: Survivors, random: &mut Random) -> Vec<u8> {
        let Survivors::Some { share, .. } = survivors else { return self.current.clone() };
        let survives = |random: &mut Random| random.below(256) < u64::from(share);
        // Which of the writes to a page is the one that the medium has.
        let mut writes: HashMap<usize, usize> = HashMap::new();
        for change in &self.pending {
            if let Change::Page { number, .. } = change {
                *writes.entry(*number).or_default() += 1;
            }
        }
        let lengths = self.pending.iter().filter(|change| matches!(change, Change::Length(_))).count();
        let mut lengths = match survives(random) {
            true => lengths,
            false => random.below(lengths as u64 + 1) as usize,
        };
        let mut chosen: HashMap<usize, usize> = HashMap::new();
        let mut numbers: Vec<(usize, usize)> = writes.into_iter().collect();
        numbers.sort_unstable();
        for (number, count) in numbers {
            if survives(random) {
                let earlier = count > 1 && random.below(4) == 0;
                chosen.insert(number, if earlier { random.below(count as u64) as usize } else { count - 1 });
            }
        }
        let mut image = Image { pages: self.durable.clone(), length: self.durable_length };
        let mut seen: HashMap<usize, usize> = HashMap::new();
        // The bound that a lost change of the length sets to what is behind it.
        let mut bound = u64::MAX;
        for change in &self.pending {
            match change {
                Change::Length(length) if lengths > 0 => {
                    lengths -= 1;
                    image.set_length(*length);
                }
                Change::Length(length) => bound = bound.min(*length).min(image.length),
                Change::Page { number, content, end, .. } => {
                    let nth = seen.entry(*number).or_default();
                    let is_chosen = chosen.get(number) == Some(nth);
                    *nth += 1;
                    if is_chosen && (*number * PAGE) as u64 >= bound {
                        continue;
                    }
                    if is_chosen {
                        let length = image.length;
                        image.page(*number, content, *end);
                        if bound != u64::MAX {
                            image.set_length(length);
                        }
                    }
                }
            }
        }
        image.bytes()
    }
}

struct Image {
    pages: Vec<Option<Page>>,
    length: u64,
}

impl Image {
    fn change(&mut self, change: &Change) {
        match change {
            Change::Page { number, content, end, .. } => self.page(*number, content, *end),
            Change::Length(length) => self.set_length(*length),
        }
    }

    fn page(&mut self, number: usize, content: &Page, end: u64) {
        if self.pages.len() <= number {
            self.pages.resize(number + 1, None);
        }
        self.pages[number] = Some(content.clone());
        self.length = self.length.max(end);
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            self.pages.truncate((length as usize).div_ceil(PAGE));
            let within = length as usize % PAGE;
            if within > 0
                && self.pages.len() > length as usize / PAGE
                && let Some(Some(page)) = self.pages.last_mut()
            {
                Arc::make_mut(page)[within..].fill(0);
            }
        }
        self.length = length;
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length as usize + PAGE);
        for page in &self.pages {
            bytes.extend_from_slice(page.as_ref().map_or([0; PAGE].as_slice(), |page| page.as_slice()));
        }
        bytes.resize(self.length as usize, 0);
        bytes
    }
}

/// Writes an image into an empty directory.
pub fn write(tree: &Tree, to: &Path) {
    for (path, content) in tree {
        match content {
            None => fs::create_dir(to.join(path)).unwrap(),
            Some(bytes) => fs::write(to.join(path), bytes).unwrap(),
        }
    }
}

/// What lies in a directory.
pub fn tree_of(directory: &Path) -> Tree {
    Model::of(directory).present()
}
