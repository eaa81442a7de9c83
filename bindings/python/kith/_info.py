"""What is read of nodes and contexts."""

from __future__ import annotations

import dataclasses
import enum
from typing import Literal

from . import _native
from ._errors import translated
from ._keys import StateKey

Role = Literal["admin", "writer", "reader"]
Encryption = Literal["off", "x25519", "xwing"]
"""How what is written in a context is sealed: not at all; by a group double ratchet over X25519; by the same over X-Wing, which also
withstands quantum computers and has keys about 13 times as large."""


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
class Exported:
    """What was exported, or imported."""

    records: int
    """How many records there are."""
    bytes: int
    """How many bytes they have, keys and values."""
    moved: bool
    """Whether it is a move (`kith-inspect … export --move`), so that what is imported signs; `False`: a backup."""

    @classmethod
    def _of(cls, done: _native.Exported) -> Exported:
        return cls(done.records, done.bytes, done.moved)
