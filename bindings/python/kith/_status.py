"""How it stands with nodes, peers, relays and contexts."""

from __future__ import annotations

import dataclasses

from . import _native
from ._errors import ErrorKind
from ._info import Encryption

_SUITES: tuple[Encryption, ...] = ("off", "x25519", "xwing")


@dataclasses.dataclass(frozen=True)
class Peer:
    """A peer as the network sees it."""

    peer: str
    connected: bool
    relayed: bool
    """Whether the link goes through a relay."""
    addresses: list[str]
    last_failure: str | None
    """Why the last dial failed, until one succeeds."""
    next_attempt_in: int | None
    """In how many ms it is dialled next."""


@dataclasses.dataclass(frozen=True)
class Relay:
    """How it stands with a relay. What it carries between members is encrypted from one to the other."""

    relay: str
    """The relay's own address, as it was given."""
    address: str | None
    """Where others reach this node through it; `None` while it gives no place."""
    longest: int | None
    """For how many ms a connection through it may last, if it says so."""
    most_bytes: int | None
    """How many bytes may go through one connection, if it says so."""
    reason: ErrorKind | None
    """Why it gave no place the last time, until it does.

    `UNREACHABLE` (not reached, or lost), `TIMEOUT` (no answer), `BUSY` (no room), `PERMISSION_DENIED` (it refuses),
    `UNSUPPORTED` (it is no relay), `INVALID_ARGUMENT` (what it says makes no sense).
    """
    last_failure: str | None
    """The same for people."""
    next_attempt_in: int | None
    """In how many ms it is asked again; `None` while it is being asked, and while there is a place."""

    @classmethod
    def _of(cls, info: _native.RelayInfo) -> Relay:
        return cls(
            info.relay,
            info.address,
            info.longest,
            info.most_bytes,
            None if info.reason is None else ErrorKind(info.reason),
            info.last_failure,
            info.next_attempt_in,
        )


@dataclasses.dataclass(frozen=True)
class Strangers:
    """Nodes that connected and did not prove to be a member's, counted since the node was opened or resumed.

    Anybody who finds its addresses may connect, as often as it likes: so there are no events of it.
    """

    linked: int
    """Links that there are now. Whoever has just come may prove to be a member yet."""
    ended: int
    """Links that are over, for no reason of those below."""
    refused: int
    """Connections that were not taken: there are too many, or too many of one peer."""
    unfinished: int
    """Connections that came to no link: the other side went, or is no node of Kith.

    Members' are among them, who drop all but the first.
    """
    misbehaved: int
    """Links and connections that ended since the protocol or its limits were broken."""
    version: int
    """Connections of nodes without a common version."""
    timeout: int
    """Links and connections that ended since the other side took too long."""


@dataclasses.dataclass(frozen=True)
class NodeStatus:
    """How it stands with a node."""

    id: str
    addresses: list[str]
    peers: list[Peer]
    relays: list[Relay]
    """The relays that it was given."""
    contexts: list[bytes]
    sealed: bool
    """Whether everything in the directory is sealed under a key that the host keeps."""
    key_file: bool
    """Whether the key lies in a file beside the store, since the host gave none: who can read the directory can read it all."""
    copied: bool
    """Whether the directory is a copy of another node's, or lacks its store's high-water mark: it signs nothing."""
    strangers: Strangers
    """Nodes of no member that have connected, and what became of it."""
    suspended: bool
    """Whether the node is suspended: it has no peers and no addresses then."""
    storage: str | None
    """The engine that keeps the node's directory: `"sled"` or `"redb"`; `None`: everything is in memory."""

    @classmethod
    def _of(cls, status: _native.NodeStatus) -> NodeStatus:
        peers = [
            Peer(
                peer.peer,
                peer.connected,
                peer.relayed,
                list(peer.addresses),
                peer.last_failure,
                peer.next_attempt_in,
            )
            for peer in status.peers
        ]
        contexts = [bytes.fromhex(context) for context in status.contexts]
        return cls(
            status.id,
            list(status.addresses),
            peers,
            [Relay._of(relay) for relay in status.relays],
            contexts,
            status.sealed,
            status.key_file,
            status.copied,
            Strangers(
                status.strangers.linked,
                status.strangers.ended,
                status.strangers.refused,
                status.strangers.unfinished,
                status.strangers.misbehaved,
                status.strangers.version,
                status.strangers.timeout,
            ),
            status.suspended,
            status.storage,
        )


@dataclasses.dataclass(frozen=True)
class SyncReport:
    """What `Node.sync_once` came to."""

    peers: int
    """How many peers are connected at its end."""
    synced: list[bytes]
    """The contexts that hold what a connected member's node holds, and nothing else is known of."""
    behind: list[bytes]
    """Those of which that is not known."""

    @classmethod
    def _of(cls, report: _native.SyncReport) -> SyncReport:
        return cls(report.peers, list(report.synced), list(report.behind))


@dataclasses.dataclass(frozen=True)
class ContextPeer:
    """A connected peer of a context."""

    peer: str
    member: bytes | None
    """The member that it proved to be."""
    equal: bool
    """Whether both histories are known to be the same."""
    lacking: int
    """Transactions that it has and this node lacks, by the last comparison."""
    lacks: int
    """Transactions that it lacks, by the last comparison."""
    since: int
    """For how many ms it has been connected."""


@dataclasses.dataclass(frozen=True)
class ContextStatus:
    """How it stands with a context."""

    transactions: int
    pending: int
    """Transactions in the order that are not executed."""
    unopened: int
    """Transactions in the order that are sealed and not opened: a member has to share them first."""
    waiting: int
    """Transactions that wait for their parents."""
    missing: list[bytes]
    """Transactions that are known of and missing."""
    blocked: str | None
    """Why applying stands still, if it does."""
    frozen: str | None
    """Why this node writes nothing here, if it does not."""
    commitment: bytes
    """The state commitment: equal on all members that hold the same history."""
    digest: bytes
    """The digest of the history."""
    peers: list[ContextPeer]

    @classmethod
    def _of(cls, status: _native.ContextStatus) -> ContextStatus:
        peers = [
            ContextPeer(
                peer.peer,
                None if peer.member is None else bytes.fromhex(peer.member),
                peer.equal,
                peer.lacking,
                peer.lacks,
                peer.since,
            )
            for peer in status.peers
        ]
        return cls(
            status.transactions,
            status.pending,
            status.unopened,
            status.waiting,
            [bytes.fromhex(id) for id in status.missing],
            status.blocked,
            status.frozen,
            bytes.fromhex(status.commitment),
            bytes.fromhex(status.digest),
            peers,
        )


@dataclasses.dataclass(frozen=True)
class ContextSecurity:
    """How it stands with a context's keys."""

    suite: Encryption
    """How what is written is sealed."""
    epoch: bytes | None
    """Names the epoch under whose keys this member would send now: 32 bytes; `None`: one is made first."""
    age: int
    """For how many ms this node has known that epoch."""
    members_able: int
    """How many members were given its keys, this one included. The others read by shared history."""
    members: int
    """How many members there are."""
    pending: str | None
    """Why new keys are made before this member's next call, if they are. For people."""
    violations: int
    """How many calls were sent under keys that were not to be used, by anybody."""
    unopened: int
    """How many calls are sealed and not opened here."""

    @classmethod
    def _of(cls, security: _native.ContextSecurity) -> ContextSecurity:
        return cls(
            _SUITES[security.suite],
            security.epoch,
            security.age,
            security.members_able,
            security.members,
            security.pending,
            security.violations,
            security.unopened,
        )
