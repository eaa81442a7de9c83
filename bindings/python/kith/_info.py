"""What is read of nodes and contexts."""

from __future__ import annotations

import dataclasses
import enum
from typing import Literal

from . import _native
from ._errors import translated
from ._keys import StateKey

Role = Literal["admin", "writer", "reader"]


class Invitation(str):
    """An invitation, as text to be handed to who shall join: a `str` (`kith1…`) that knows more of itself.

    >>> token = await context.invite()
    >>> await node.join(token) == context and kith.invitation(token.data) == token
    True
    """

    id: bytes
    """Names the invitation; for `Context.revoke`."""
    data: bytes
    """The same as bytes: shorter, and as good for `Node.join`."""

    def qr(self) -> str:
        """The invitation as a QR code for a terminal: lines of half blocks, to be shown light on dark.

        >>> "█" in (await context.invite()).qr()
        True
        """
        with translated():
            return _native.qr_text(str(self))

    @classmethod
    def _of(cls, info: _native.Invitation) -> Invitation:
        invitation = cls(info.text)
        invitation.id = info.id
        invitation.data = info.bytes
        return invitation


class Level(enum.Enum):
    """Which state is read."""

    TENTATIVE = "tentative"
    """With everything that is known, in an order that may still move."""
    FINAL = "final"
    """Only what never changes again. `UnsupportedError` until finality is there."""


@dataclasses.dataclass(frozen=True)
class InvitationInfo:
    """What an invitation says."""

    context: bytes
    application: str
    inviter: bytes
    role: str
    expires_at: int | None
    """ms since 1970; `None`: no end."""
    note: str
    addresses: list[str]
    member: bool
    """Whether this node is a member of the context already."""

    @classmethod
    def _of(cls, info: _native.InvitationInfo) -> InvitationInfo:
        return cls(
            info.context,
            info.application,
            info.inviter,
            info.role,
            info.expires_at,
            info.note,
            list(info.addresses),
            info.member,
        )


@dataclasses.dataclass(frozen=True)
class IssuedInvitation:
    """An invitation of a context, as its members see it."""

    id: bytes
    """Names the invitation; for `Context.revoke`."""
    inviter: bytes
    role: str
    expires_at: int | None
    max_uses: int
    uses: int
    revoked: bool
    note: str

    @classmethod
    def _of(cls, info: _native.IssuedInvitation) -> IssuedInvitation:
        return cls(
            info.id, info.inviter, info.role, info.expires_at, info.max_uses, info.uses, info.revoked, info.note
        )


@dataclasses.dataclass(frozen=True)
class ContextInfo:
    """A context that a node holds."""

    id: bytes
    name: str
    application: str
    joining: bool
    """Whether joining it has not come to its end."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of a context."""

    id: bytes
    role: str
    added: bytes
    """The transaction that added it."""
    name: str
    """What it calls itself; empty: nothing. Nobody vouches for it: two members may have the same."""


@dataclasses.dataclass(frozen=True)
class Receipt:
    """The answer to a call."""

    transaction: bytes
    """The transaction that carries the call: 32 bytes."""
    output: bytes
    """The application's answer, at the tentative place."""


class Outcome(enum.Enum):
    """What a transaction did at its place."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclasses.dataclass(frozen=True)
class Message:
    """Something that an application said to the hosts of all members."""

    name: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class Transaction:
    """How it stands with a transaction."""

    id: bytes
    author: bytes
    sequence: int
    """Its number in its author's chain."""
    place: bytes
    """Its place in the order: 48 bytes that sort like places. Tentative until something is final."""
    timestamp: int
    """The author's clock, ms since 1970."""
    kind: int
    method: str | None
    """Of a call: its method."""
    arguments: bytes
    outcome: Outcome
    output: bytes | None
    """The application's answer, if the transaction is accepted."""
    reason: str | None
    """Why it does nothing, if it is rejected."""
    emitted: list[Message]
    """What the application emitted, in order."""

    @classmethod
    def _of(cls, info: _native.TransactionInfo) -> Transaction:
        if not info.executed:
            outcome = Outcome.PENDING
        elif info.rejection is None:
            outcome = Outcome.ACCEPTED
        else:
            outcome = Outcome.REJECTED
        return cls(
            info.id,
            info.author,
            info.sequence,
            info.place,
            info.timestamp,
            info.kind,
            info.method,
            info.arguments,
            outcome,
            info.output,
            info.rejection,
            [Message(message.name, message.data) for message in info.emitted],
        )


class Written(enum.Enum):
    """What a transaction left of a key."""

    VALUE = "value"
    REMOVED = "removed"
    NOTHING = "nothing"
    """It read the key, and was rejected."""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What one transaction has to do with a key."""

    transaction: Transaction
    written: Written
    hash: bytes | None
    """The BLAKE3 hash of the value that it left, if it left one."""
    unseen: bool | None
    """Whether it sorts after the one before without its author having seen that.

    Then neither knew of the other, and the order alone says which comes last. `None`: not found out within 1,000 steps.
    """

    @classmethod
    def _of(cls, info: _native.Explanation) -> Explanation:
        # The generated variants are named like "Written.VALUE".
        written = Written[type(info.written).__name__.rsplit(".", 1)[-1]]
        return cls(Transaction._of(info.transaction), written, getattr(info.written, "hash", None), info.unseen)


class Part(enum.Enum):
    """What `Context.verify` may find to differ."""

    TRANSACTION = "transaction"
    """The signed transaction itself: it is not what its id says, or is not there."""
    SIGNATURE = "signature"
    POSITION = "position"
    """Where it stands in the graph."""
    ORDER = "order"
    """Its row in the order."""
    STANDING = "standing"
    """Which role it was judged by."""
    RECEIPT = "receipt"
    """What it answered, emitted, or was rejected for."""
    READS = "reads"
    """What is noted of its reads."""
    VALUE = "value"
    """A value that it wrote."""
    MEMBERSHIP = "membership"
    """The members, roles and invitations."""
    COMMITMENT = "commitment"
    """The running hash of the state."""
    COUNT = "count"
    """How many transactions there are."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Where what is kept is not what the history gives. `str()` of it is for people."""

    part: Part
    place: bytes | None
    """At which place of the order; `None`: of the context as a whole."""
    transaction: bytes | None
    """The transaction at that place."""
    key: StateKey | None
    """Of which key."""
    kept: bytes | None
    """The BLAKE3 hash of what is kept; `None`: nothing is."""
    recomputed: bytes | None
    """The BLAKE3 hash of what was recomputed; `None`: nothing should be there."""
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def _of(cls, info: _native.Difference) -> Difference:
        key = None if info.key is None else StateKey(info.key)
        return cls(Part(info.part), info.place, info.transaction, key, info.kept, info.recomputed, info.text)


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a check of a context has looked at and found."""

    transactions: int
    """How many transactions were looked at, in order."""
    executed: int
    """How many of them were executed once more."""
    pending: int
    """How many are in the order and were not looked at, since they are still to be executed."""
    keys: int
    """How many keys of the state were looked at, deleted ones included."""
    difference: Difference | None
    """The first difference; `None`: what is kept is what a replay of the history gives."""

    @classmethod
    def _of(cls, info: _native.Verification) -> Verification:
        difference = None if info.difference is None else Difference._of(info.difference)
        return cls(info.transactions, info.executed, info.pending, info.keys, difference)


@dataclasses.dataclass(frozen=True)
class Peer:
    """A peer as the network sees it."""

    peer: str
    connected: bool
    addresses: list[str]
    last_failure: str | None
    """Why the last dial failed, until one succeeds."""
    next_attempt_in: int | None
    """In how many ms it is dialled next."""


@dataclasses.dataclass(frozen=True)
class NodeStatus:
    """How it stands with a node."""

    id: str
    addresses: list[str]
    peers: list[Peer]
    contexts: list[bytes]
    sealed: bool
    """Whether what is kept is sealed. (Sealing is not there yet.)"""
    copied: bool
    """Whether the directory is a copy of another node's, or lacks its store's high-water mark: it signs nothing."""
    suspended: bool
    """Whether the node is suspended: it has no peers and no addresses then."""
    storage: str | None
    """The engine that keeps the node's directory: `"sled"` or `"redb"`; `None`: everything is in memory."""

    @classmethod
    def _of(cls, status: _native.NodeStatus) -> NodeStatus:
        peers = [
            Peer(peer.peer, peer.connected, list(peer.addresses), peer.last_failure, peer.next_attempt_in)
            for peer in status.peers
        ]
        contexts = [bytes.fromhex(context) for context in status.contexts]
        return cls(
            status.id,
            list(status.addresses),
            peers,
            contexts,
            status.sealed,
            status.copied,
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
            status.waiting,
            [bytes.fromhex(id) for id in status.missing],
            status.blocked,
            status.frozen,
            bytes.fromhex(status.commitment),
            bytes.fromhex(status.digest),
            peers,
        )
