//! Why a call cannot fail with a kind.

use kith_core::ErrorKind::{self, *};

use crate::table::CALLS;

/// Some calls, by name; several calls of one sort by a word.
const SORTS: &[(&str, &[&str])] = &[
    ("kv calls", &["put", "delete", "add", "compare_and_set", "append", "batch"]),
    ("calls", &["execute", "put", "delete", "add", "compare_and_set", "append", "batch"]),
    (
        "governing calls",
        &["set_name", "set_display_name", "set_role", "remove", "invite", "revoke", "skip", "leave"],
    ),
    (
        "questions",
        &["query", "members", "invitations", "Context::status", "commitment", "security", "verify"],
    ),
    ("questions about memory", &["members", "invitations", "Context::status", "commitment", "security"]),
    (
        "reads",
        &[
            "get",
            "entries",
            "get_blocking",
            "entries_blocking",
            "transaction",
            "history",
            "explain",
            "events",
        ],
    ),
    ("streams", &["Events::next", "Events::next_blocking"]),
    ("waiting", &["wait_synced"]),
    ("tokens", &["from_text", "from_bytes", "Invitation::sign", "inspect"]),
    ("keys", &["StateKey::from_slice", "StateKey::from_hex", "StateKey::random"]),
    (
        "node",
        &[
            "open",
            "Node::status",
            "register",
            "create_context",
            "join",
            "contexts",
            "Node::context",
            "connect",
            "suspend",
            "resume",
            "sync_once",
            "change_storage_key",
            "export",
            "shutdown",
        ],
    ),
];

pub(crate) struct Reason {
    pub(crate) kinds: &'static [ErrorKind],
    /// Sorts and names.
    pub(crate) calls: &'static [&'static str],
    pub(crate) but: &'static [&'static str],
    pub(crate) text: &'static str,
}

const fn because(
    kinds: &'static [ErrorKind],
    calls: &'static [&'static str],
    but: &'static [&'static str],
    text: &'static str,
) -> Reason {
    Reason { kinds, calls, but, text }
}

const ALL: &[&str] = &["all"];
const INVITATION: &[ErrorKind] = &[InvitationInvalid, InvitationExpired, InvitationUsed, InvitationRevoked];
const STORE: &[ErrorKind] = &[Storage, Corrupt, StorageFull];

/// In the order of the page. No cell may have two reasons, or a reason and a case.
pub(crate) const REASONS: &[Reason] = &[
    because(
        &[Cancelled],
        ALL,
        &[],
        "A Rust caller cancels by dropping the future; nobody is left to be told. (Other languages have it.)",
    ),
    because(&[KeyRequired], ALL, &["open", "resume", "sync_once"], "The store is open, or it needs none."),
    because(&[Internal], ALL, &[], "A defect: there is no known way to it."),
    because(
        &[Equivocation],
        ALL,
        &[],
        "A node that learns that its member has signed two histories signs nothing more, which is `Blocked`; that another member has is an event.",
    ),
    because(&[CursorExpired], ALL, &["events"], "It takes no cursor."),
    because(
        &[InvitationExpired, InvitationUsed, InvitationRevoked],
        &["revoke"],
        &[],
        "Any invitation can be taken back, over or not.",
    ),
    because(&[InvalidArgument], &["revoke"], &[], "What is no invitation is `InvitationInvalid`."),
    because(INVITATION, ALL, &["tokens", "join", "revoke"], "It takes no token."),
    because(
        &[InvitationExpired, InvitationUsed, InvitationRevoked],
        &["tokens"],
        &[],
        "It reads the token alone and does not judge it.",
    ),
    because(&[InvitationInvalid], &["Invitation::sign"], &[], "It makes a token."),
    because(
        &[Unreachable],
        &["calls", "governing calls", "rotate_keys", "questions", "reads", "streams", "tokens", "keys"],
        &[],
        "It needs no peer.",
    ),
    because(&[Unreachable], &["node"], &["join", "connect"], "It needs no peer."),
    because(
        &[Unreachable],
        &["waiting"],
        &[],
        "That nobody is reached is one reason of many why it times out.",
    ),
    because(
        &[Timeout],
        &["calls", "governing calls", "rotate_keys", "questions", "reads", "tokens", "keys", "Events::next"],
        &[],
        "It has no limit of time of its own; a Rust caller puts one around it.",
    ),
    because(
        &[Timeout],
        &[
            "open",
            "Node::status",
            "register",
            "create_context",
            "contexts",
            "Node::context",
            "change_storage_key",
            "export",
        ],
        &[],
        "It waits for nobody who could take too long.",
    ),
    because(&[Timeout], &["connect"], &[], "A peer that does not answer in time is `Unreachable`."),
    because(
        &[Busy],
        ALL,
        &["open", "resume", "sync_once"],
        "Callers wait for their turn; only opening needs what somebody else may hold.",
    ),
    because(
        &[VersionMismatch],
        ALL,
        &["open", "join", "tokens", "connect", "resume", "sync_once"],
        "It meets nothing that another version has made.",
    ),
    because(&[VersionMismatch], &["Invitation::sign"], &[], "It makes a token of this version."),
    because(&[Closed], &["tokens", "keys"], &[], "It needs no node that is open."),
    because(&[Closed], &["shutdown"], &[], "Twice is fine."),
    because(&[NotFound], &["revoke"], &[], "What is no invitation is `InvitationInvalid`."),
    because(
        &[NotFound],
        ALL,
        &["Node::context", "revoke", "skip"],
        "It names nothing that has to be there; members that are none are `NotMember`, a transaction or key that is not there is `None`.",
    ),
    because(
        &[NotMember],
        ALL,
        &["calls", "governing calls", "rotate_keys", "join"],
        "Nobody's membership matters to it: who was removed still reads its copy.",
    ),
    because(&[PermissionDenied], &["set_display_name"], &[], "Every member may say what it calls itself."),
    because(&[NotMember], &["leave"], &[], "Who is no member has left already."),
    because(&[PermissionDenied], ALL, &["calls", "governing calls"], "Every member may, whatever its role."),
    because(&[Rejected], ALL, &["calls", "query", "create_context"], "The application is not asked."),
    because(&[Rejected], &["put", "delete"], &[], "`kv` accepts every one that keeps to the limits."),
    because(
        &[Blocked],
        ALL,
        &["calls", "governing calls", "rotate_keys", "query", "verify", "create_context", "join"],
        "It neither signs nor asks the application.",
    ),
    because(
        &[Blocked],
        &["join"],
        &[],
        "Joining is done once the node holds what a peer holds; that its application cannot carry that out is an event, and in the status.",
    ),
    because(
        &[ApplicationMissing],
        ALL,
        &["execute", "query", "verify", "create_context"],
        "The application is not asked, or it is `kv`, which is always there.",
    ),
    because(
        &[Unsupported],
        ALL,
        &[
            "kv calls",
            "get",
            "entries",
            "get_blocking",
            "entries_blocking",
            "rotate_keys",
            "change_storage_key",
        ],
        "All of it is there; but every call that needs a node is refused so in a process that was forked from one with nodes (shown in C and Python).",
    ),
    because(
        &[LimitExceeded],
        &[
            "delete",
            "add",
            "set_role",
            "remove",
            "revoke",
            "skip",
            "leave",
            "rotate_keys",
            "questions",
            "reads",
            "streams",
            "waiting",
        ],
        &[],
        "What it takes has a fixed size, and pages end where they are full.",
    ),
    because(
        &[LimitExceeded],
        &["node"],
        &["open", "create_context", "join", "connect"],
        "What it takes is small or checked as `InvalidArgument`.",
    ),
    because(
        &[LimitExceeded],
        &["tokens", "keys"],
        &["Invitation::sign"],
        "What is longer is no token and no key: `InvitationInvalid`, `InvalidArgument`.",
    ),
    because(
        &[InvalidArgument],
        &[
            "kv calls",
            "set_name",
            "set_display_name",
            "set_role",
            "remove",
            "leave",
            "questions",
            "waiting",
            "rotate_keys",
            "streams",
        ],
        &[],
        "The types of its arguments allow nothing of a wrong shape.",
    ),
    because(
        &[InvalidArgument],
        &["get", "get_blocking", "transaction", "history", "explain", "events"],
        &[],
        "The types of its arguments allow nothing of a wrong shape.",
    ),
    because(
        &[InvalidArgument],
        &[
            "Node::status",
            "contexts",
            "Node::context",
            "suspend",
            "resume",
            "sync_once",
            "change_storage_key",
            "shutdown",
            "create_context",
            "StateKey::random",
        ],
        &[],
        "It takes nothing that could have a wrong shape.",
    ),
    because(
        &[InvalidArgument],
        &["tokens", "join"],
        &[],
        "A token of a wrong shape is `InvitationInvalid`; one that would be too large, `LimitExceeded`.",
    ),
    because(
        STORE,
        &["tokens", "keys", "waiting", "Node::status", "register", "contexts", "Node::context", "connect"],
        &[],
        "It does not touch the store.",
    ),
    because(&[StorageFull], &["reads", "streams"], &[], "Reading needs no room."),
    because(
        &[Corrupt, StorageFull],
        &["shutdown", "suspend"],
        &[],
        "Everything was written before; it only closes.",
    ),
    because(
        &[Corrupt],
        &["change_storage_key"],
        &[],
        "It reads nothing: what it writes was read when the store was opened.",
    ),
    because(
        &[StorageFull],
        &["change_storage_key", "export"],
        &[],
        "A full disk is told as such: shown by `core/tests/errors/readonly.rs`, which has disks of its own.",
    ),
    because(
        &[StorageFull],
        &["resume", "sync_once"],
        &[],
        "They open a store as `Node::open` does: shown by `core/tests/errors/readonly.rs`, which has disks of its own.",
    ),
];

impl Reason {
    pub(crate) fn covers(&self, call: &str, kind: ErrorKind) -> bool {
        self.kinds.contains(&kind) && named(self.calls, call) && !named(self.but, call)
    }
}

fn named(words: &[&str], call: &str) -> bool {
    words.iter().any(|word| {
        let sort = SORTS.iter().find(|(sort, _)| sort == word).map(|(_, names)| *names);
        let names = sort.unwrap_or(std::slice::from_ref(word));
        *word == "all" || names.iter().any(|name| call == *name || call.ends_with(&format!("::{name}")))
    })
}

/// Each word of the reasons means at least one call.
pub(crate) fn words_that_mean_nothing() -> Vec<&'static str> {
    let words = REASONS.iter().flat_map(|reason| reason.calls.iter().chain(reason.but));
    words.filter(|word| !CALLS.iter().any(|call| named(&[word], call))).copied().collect()
}
