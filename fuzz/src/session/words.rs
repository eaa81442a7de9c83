//! What an input says: the steps of a hostile member.

use arbitrary::Arbitrary;

/// One of those that are known, or that are not.
pub(super) type Pick = u8;

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Step {
    /// Says something.
    Say(Said),
    /// Says it with a byte changed.
    Damaged(Said, u16, u8),
    /// Bytes.
    Raw(Vec<u8>),
    /// Goes on as the protocol has it: proves its key, answers a hello, sends what is asked for.
    Polite(Pick),
    /// Signs something.
    Author { who: Pick, what: What, previous: Pick, parents: Vec<Pick>, lamport: i8, sequence: i8, sign: u8 },
    /// Alters something that was signed.
    Alter { which: Pick, how: u8, by: u8 },
    /// Sends its newest transactions as a push.
    Push(u8),
    /// Time passes.
    Wait(u16),
    /// The founder writes.
    Write(u8),
    /// The channel is closed, and another one opened.
    Reconnect,
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum Said {
    Prove {
        who: Pick,
        supporting: Vec<Runs>,
    },
    Join {
        who: Pick,
        role: Pick,
        invitation: Pick,
    },
    Admitted(Vec<Runs>),
    Refused(u8),
    Evidence(Vec<Runs>, bool),
    Hello {
        version: bool,
        round: u8,
        same: bool,
    },
    Vector(Vec<(Pick, Vec<(u8, Pick)>)>, bool),
    Plan(u32),
    Batch {
        purpose: u8,
        runs: Vec<Runs>,
    },
    End,
    Done(bool),
    Acknowledge(u8),
    Want(Vec<Pick>),
    Given(Vec<Pick>),
    Lacking(Vec<Pick>),
    /// Contents as they are in transactions that are known, or damaged.
    Shares(Vec<(Pick, u8)>, Vec<Pick>),
    Complain,
    AskWraps(Pick),
    /// All of them, one, or none.
    Wraps(Pick, u8, Vec<u8>),
    HaveWraps(Pick),
}

/// So many of the chain that ends with this one; how many of the last of them as headers only.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(super) struct Runs {
    pub(super) last: Pick,
    pub(super) length: u8,
    pub(super) cover: u8,
}

#[derive(Arbitrary, Debug, Clone)]
pub(super) enum What {
    Call {
        method: u8,
        key: u8,
        value: u8,
    },
    Invite {
        key: Pick,
        role: Pick,
        uses: u8,
    },
    Revoke(Pick),
    Add {
        who: Pick,
        role: Pick,
        invitation: Pick,
    },
    Remove {
        who: Pick,
        last: Vec<Pick>,
    },
    SetRole {
        who: Pick,
        role: Pick,
        last: Option<Vec<Pick>>,
    },
    Fork {
        who: Pick,
        one: Pick,
        other: Pick,
    },
    Skip(Pick),
    Leave,
    Note,
    Name(bool, u8),
    Genesis,
    Epoch(Vec<u8>),
    /// A call that is said to be sealed; its content is kept, to be shared.
    Sealed {
        epoch: Pick,
        counter: u8,
        value: u8,
        longer: u8,
    },
    Key(u32, Vec<u8>),
    Raw(u8, Vec<u8>),
}
