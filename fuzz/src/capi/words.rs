//! What an input says: the calls, and what they are called with.

use std::ffi::{CString, c_char};
use std::ptr::null;

use arbitrary::Arbitrary;

/// A handle by number; the last two numbers are NULL and a handle of another kind.
pub(super) type Pick = u8;
pub(super) const NOTHING: Pick = 255;
pub(super) const STRANGER: Pick = 254;

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Text {
    Null,
    Plain(String),
    Bytes(Vec<u8>),
    Long(u16),
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Data {
    Null,
    /// NULL, said to have a length.
    Nowhere(u8),
    Some(Vec<u8>),
    Long(u16),
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Call {
    State(StateCall),
    History(HistoryCall),
    Member(MemberCall),
    Node(NodeCall),
    Free { kind: u8, at: Pick },
    Sealing(SealingCall),
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum StateCall {
    Execute { at: Pick, method: Text, arguments: Data, out: bool },
    Query { at: Pick, method: Text, arguments: Data },
    Put { at: Pick, key: Pick, value: Data },
    Delete { at: Pick, key: Pick },
    Add { at: Pick, key: Pick, number: i64 },
    Compare { at: Pick, key: Pick, expected: Data, value: Data },
    Append { at: Pick, key: Pick, data: Data },
    Get { at: Pick, key: Pick, level: u8 },
    Entries { at: Pick, prefix: Data, after: Pick, limit: u16, level: u8 },
    EntriesAt { at: Pick, index: u16, out: bool },
    Batch,
    BatchStep { at: Pick, what: u8, key: Pick, value: Data, other: Data },
    Commit { at: Pick, batch: Pick },
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum HistoryCall {
    History { at: Pick, after: Option<Pick>, capacity: u8 },
    Transaction { at: Pick, id: Pick },
    Receipt { at: Pick, id: Pick },
    ReadReceipt { at: Pick, index: u8 },
    Facts { at: Pick, out: bool },
    WaitSynced { at: Pick },
    Events { at: Pick, after: Option<u64> },
    Next { at: Pick, ms: u8 },
    Subscribe { at: Pick, after: Option<u64>, callback: bool },
    Verify(Pick),
    Explain { at: Pick, key: Pick, after: Option<Pick>, capacity: u8 },
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum MemberCall {
    Members { at: Pick, capacity: u8 },
    SetRole { at: Pick, member: Pick, role: u8 },
    Name { at: Pick, name: Text, own: bool },
    Remove { at: Pick, member: Pick },
    Leave(Pick),
    Invite { at: Pick, role: u8, uses: u32, expires: u64, note: Text, size: Option<u8> },
    Invitations { at: Pick, capacity: u8 },
    Revoke { at: Pick, id: Pick },
    Skip { at: Pick, id: Pick },
    RotateKeys(Pick),
    Inspect { at: Pick, token: Token },
    Join { at: Pick, token: Token, ms: u8, with: bool },
    TokenBytes { token: Token, other: Data },
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum NodeCall {
    Create { application: Application, arguments: Data, name: Text },
    Open(Pick),
    Cancel { bind: bool, fire: bool },
    Key { collection: Text, name: Text },
    LastError { room: u8 },
    Node { at: Pick, what: u8, text: Text, capacity: u8 },
    OpenNode { listen: Vec<Text>, durability: u8, retention: u64, size: Option<u8>, hub: Pick },
    StatusName(u32),
    Life { sync: bool, twice: bool },
    Hub { one: Pick, other: Pick, hub: Pick, heal: bool },
    Log(u8),
    Version,
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum SealingCall {
    Init {
        which: u8,
        size: u16,
    },
    Create {
        encryption: u8,
        arguments: Data,
        name: Text,
        size: Option<u8>,
    },
    Security(Pick),
    ChangeKey {
        at: Pick,
        to: Secret,
    },
    Export {
        at: Pick,
        to: Pick,
        under: Secret,
        out: bool,
    },
    Import {
        from: Pick,
        under: Secret,
        to: Pick,
        own: Secret,
        storage: u8,
        adopt: bool,
        size: Option<u8>,
        open: bool,
    },
    Disk {
        at: Pick,
        what: Option<Vec<u8>>,
    },
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Secret {
    Nothing,
    Key(u8),
    Empty,
    Long,
    Both(u8),
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Application {
    Kv,
    Odd,
    Other(Text),
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Token {
    Real,
    Damaged(u16, u8),
    Other(Text),
}

impl Text {
    pub(super) fn owned(&self) -> Option<CString> {
        let cut = |bytes: &[u8]| CString::new(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).ok();
        match self {
            Self::Null => None,
            Self::Plain(text) => cut(text.as_bytes()),
            Self::Bytes(bytes) => cut(bytes),
            Self::Long(length) => cut(&vec![b'x'; usize::from(*length)]),
        }
    }
}

pub(super) fn at(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}

/// Memory of its own exactly as long as what is in it, so that a byte too many is seen.
pub(super) struct Given(Option<Box<[u8]>>, pub(super) usize);

impl Data {
    pub(super) fn given(&self) -> Given {
        match self {
            Self::Null => Given(None, 0),
            Self::Nowhere(length) => Given(None, usize::from(*length)),
            Self::Some(bytes) => Given(Some(bytes.clone().into()), bytes.len()),
            Self::Long(length) => {
                let length = usize::from(*length) * 33;
                Given(Some(vec![7; length].into()), length)
            }
        }
    }
}

impl Given {
    pub(super) fn at(&self) -> *const u8 {
        self.0.as_ref().map_or(null(), |bytes| bytes.as_ptr())
    }
}

pub(super) fn key(pick: Pick) -> Option<Box<[u8; 32]>> {
    (pick != NOTHING).then(|| Box::new([pick % 4; 32]))
}

pub(super) fn place(id: &Option<Box<[u8; 32]>>) -> *const u8 {
    id.as_ref().map_or(null(), |id| id.as_ptr())
}
