"""Contexts."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator
from typing import Any

from . import _native
from ._errors import InvalidArgumentError, translated
from ._events import Event, Events
from ._info import (
    ContextStatus,
    Explanation,
    Invitation,
    IssuedInvitation,
    Level,
    Member,
    Receipt,
    Role,
    Transaction,
    Verification,
)
from ._keys import StateKey, data_of

_Operation: Any = _native.Operation
_WEEK = datetime.timedelta(days=7)


def milliseconds(time: float | datetime.timedelta, what: str) -> int:
    """A time in seconds, or a `timedelta`, as the library takes it."""
    seconds = time.total_seconds() if isinstance(time, datetime.timedelta) else float(time)
    if not 0 <= seconds <= 1e12:
        raise InvalidArgumentError(f"{what} is {time}")
    return int(seconds * 1000)


def id_of(id: bytes, what: str) -> bytes:
    """An id of 32 bytes."""
    raw = data_of(id, what)
    if len(raw) != 32:
        raise InvalidArgumentError(f"{what} has 32 bytes, not {len(raw)}")
    return raw


class Batch:
    """Several operations for `Context.batch`, carried out together: all or none."""

    def __init__(self) -> None:
        self._operations: list[Any] = []

    def put(self, key: bytes, value: bytes) -> Batch:
        """Sets a key to a value."""
        return self._with(_Operation.PUT(StateKey(key), data_of(value)))

    def delete(self, key: bytes) -> Batch:
        """Removes a key."""
        return self._with(_Operation.DELETE(StateKey(key)))

    def add(self, key: bytes, number: int) -> Batch:
        """Adds to a counter."""
        return self._with(_Operation.ADD(StateKey(key), _number(number)))

    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes | None) -> Batch:
        """Sets or removes a key if its value is the expected one; else the whole batch is rejected."""
        return self._with(_Operation.COMPARE_AND_SET(StateKey(key), _optional(expected), _optional(value)))

    def append(self, key: bytes, data: bytes) -> Batch:
        """Appends to a value."""
        return self._with(_Operation.APPEND(StateKey(key), data_of(data)))

    def _with(self, operation: Any) -> Batch:
        self._operations.append(operation)
        return self


def _optional(value: bytes | None) -> bytes | None:
    return None if value is None else data_of(value)


def _number(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise InvalidArgumentError(f"{number} does not fit into a signed 64-bit number")
    return number


def _limit(limit: int) -> int:
    if not 0 <= limit < 2**32:
        raise InvalidArgumentError(f"limit is {limit}")
    return limit


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of the state."""

    key: StateKey
    value: bytes


class Context:
    """An application's state that its members share.

    Methods that write return once what they wrote is durable and on its way. Cancelling one (a task's `cancel`,
    `asyncio.timeout`) lets it finish in the background, whole: whether it still happens is known by looking. Cancelling
    one that reads or waits drops it. Handles are cheap and hold nothing open: the context lives with its node. After the
    node's shutdown every method raises `ClosedError`, and so do those that need the store while the node is suspended.
    """

    def __init__(self, native: _native.Context) -> None:
        self._native = native

    def __repr__(self) -> str:
        return f"<kith.Context {self.id.hex()[:8]}…>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and (self.id, self.me) == (other.id, other.me)

    def __hash__(self) -> int:
        return hash((self.id, self.me))

    @property
    def id(self) -> bytes:
        """The context's id: 32 bytes."""
        return bytes(self._native.id())

    @property
    def me(self) -> bytes:
        """This node's member in the context: 32 bytes."""
        return bytes(self._native.me())

    @property
    def role(self) -> str | None:
        """This node's role; `None` if it is no member (yet, or any more)."""
        return self._native.role()

    @property
    def application(self) -> str:
        """The name of the application."""
        return self._native.application()

    @property
    def name(self) -> str:
        """What the context is called."""
        return self._native.name()

    async def execute(self, method: str, arguments: bytes = b"") -> Receipt:
        """Carries out a method call of the application.

        When it returns, the call is executed, durable and on its way to the other members. What the application refuses
        is a `RejectedError`, and is not published.
        """
        with translated():
            done = await self._native.execute(method, data_of(arguments, "arguments"))
        return Receipt(done.transaction, done.output)

    async def query(self, method: str, arguments: bytes = b"") -> bytes:
        """Answers a read-only call of the application, on this member only."""
        with translated():
            return bytes(await self._native.query(method, data_of(arguments, "arguments")))

    async def get(self, key: bytes, level: Level = Level.TENTATIVE) -> bytes | None:
        """The value under a key."""
        with translated():
            return await self._native.get(StateKey(key), level is Level.FINAL)

    async def entries(
        self,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        limit: int = 1000,
        level: Level = Level.TENTATIVE,
    ) -> list[Entry]:
        """A page of entries in key order: those whose keys begin with `prefix` and sort after `after`.

        At most `limit`, 1,000 entries and 1 MiB. A page without entries is the end.
        """
        start = None if after is None else StateKey(after)
        with translated():
            page = await self._native.entries(data_of(prefix, "a prefix"), start, _limit(limit), level is Level.FINAL)
        return [Entry(StateKey(entry.key), entry.value) for entry in page]

    async def all_entries(self, prefix: bytes = b"", *, level: Level = Level.TENTATIVE) -> AsyncIterator[Entry]:
        """All entries whose keys begin with `prefix`, page by page. What changes meanwhile may be seen or not."""
        after: bytes | None = None
        while page := await self.entries(prefix, after=after, level=level):
            for entry in page:
                yield entry
            after = page[-1].key

    async def put(self, key: bytes, value: bytes) -> bytes:
        """Sets a key to a value of at most 1 MiB; the transaction's id. Needs the `kv` application, like the next five."""
        with translated():
            return bytes(await self._native.put(StateKey(key), data_of(value)))

    async def delete(self, key: bytes) -> bytes:
        """Removes a key; nothing happens if it is absent."""
        with translated():
            return bytes(await self._native.delete(StateKey(key)))

    async def add(self, key: bytes, number: int) -> int:
        """Adds to a counter; its new value, which may still move with the order."""
        with translated():
            return int(await self._native.add(StateKey(key), _number(number)))

    async def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes | None) -> bytes:
        """Sets a key if its value is the expected one; `RejectedError` otherwise. `None` stands for absence."""
        with translated():
            return bytes(await self._native.compare_and_set(StateKey(key), _optional(expected), _optional(value)))

    async def append(self, key: bytes, data: bytes) -> bytes:
        """Appends to a value; the result has at most 1 MiB."""
        with translated():
            return bytes(await self._native.append(StateKey(key), data_of(data)))

    async def batch(self, batch: Batch) -> bytes:
        """Carries out several operations, all or none."""
        with translated():
            return bytes(await self._native.batch(batch._operations))

    async def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """The events from now on, or those after a cursor and then from now on (each at least once).

        "Now" is when the loop begins. Leaving the loop ends the subscription. `CursorExpiredError` if what followed the cursor is not kept any more.
        """
        async for event in await self.subscribe(after):
            yield event

    async def subscribe(self, after: int | None = None) -> Events:
        """Like `events`, but "now" is when this returns, so that nothing that is done afterwards is missed."""
        with translated():
            return Events(await self._native.events(after))

    async def members(self) -> list[Member]:
        """The members."""
        with translated():
            return [Member(info.id, info.role, info.added, info.name) for info in await self._native.members()]

    async def set_role(self, member: bytes, role: Role) -> bytes:
        """Gives a member another role; the transaction's id.

        Needs an admin; an admin is demoted only by a senior one or by itself.
        """
        with translated():
            return bytes(await self._native.set_role(id_of(member, "a member id"), role))

    async def set_name(self, name: str) -> bytes:
        """Says what the context is called, in at most 128 bytes; the transaction's id. Needs an admin."""
        with translated():
            return bytes(await self._native.set_name(name))

    async def set_display_name(self, name: str) -> bytes:
        """Says what this member calls itself, in at most 128 bytes; empty takes it back. The transaction's id."""
        with translated():
            return bytes(await self._native.set_display_name(name))

    async def remove(self, member: bytes) -> bytes:
        """Removes a member; the transaction's id.

        Needs an admin; an admin is removed only by a senior one. What it wrote and this node has not seen does not count.
        """
        with translated():
            return bytes(await self._native.remove(id_of(member, "a member id")))

    async def leave(self) -> None:
        """Leaves the context: tells the others and deletes this node's copy.

        If nobody has heard of it within 5 s this returns all the same, and the copy is deleted once somebody has, in 30 days
        at the latest. The last admin of a context with other members has to make another one admin first. A context whose
        joining has not come to its end is deleted at once. Cancelling lets it finish in the background.
        """
        with translated():
            await self._native.leave()

    async def invite(
        self,
        role: Role = "writer",
        *,
        expires_in: float | datetime.timedelta | None = _WEEK,
        max_uses: int = 1,
        note: str = "",
    ) -> Invitation:
        """Makes an invitation, as text to be handed to who shall join. Needs an admin.

        `expires_in`: seconds or a `timedelta`; `None`: no end. `note`: for people, at most 128 bytes.
        """
        expires = None if expires_in is None else milliseconds(expires_in, "expires_in")
        if not 0 <= max_uses < 2**32:
            raise InvalidArgumentError(f"max_uses is {max_uses}")
        with translated():
            return Invitation._of(await self._native.invite(role, expires, max_uses, note))

    async def invitations(self) -> list[IssuedInvitation]:
        """The invitations of the context."""
        with translated():
            return [IssuedInvitation._of(info) for info in await self._native.invitations()]

    async def revoke(self, invitation: bytes | Invitation) -> bytes:
        """Takes an invitation back, by its id; the transaction's id.

        Needs an admin. Who joined by it without this having been seen is out.
        """
        id = invitation.id if isinstance(invitation, Invitation) else invitation
        with translated():
            return bytes(await self._native.revoke(id_of(id, "an invitation's id")))

    async def skip(self, transaction: bytes) -> bytes:
        """Rejects a call for all members, after a local fault that stops applying (`ContextStatus.blocked` names it).

        Needs an admin. The id of the transaction that says so.
        """
        with translated():
            return bytes(await self._native.skip(id_of(transaction, "a transaction id")))

    async def transaction(self, id: bytes) -> Transaction | None:
        """How it stands with a transaction; `None` if it is not in the history."""
        with translated():
            info = await self._native.transaction(id_of(id, "a transaction id"))
        return None if info is None else Transaction._of(info)

    async def history(self, after: bytes | None = None, *, limit: int = 1000) -> list[Transaction]:
        """A page of the order: at most `limit` (and 1,000) transactions after a place (`Transaction.place`)."""
        start = None if after is None else data_of(after, "a place")
        with translated():
            return [Transaction._of(info) for info in await self._native.history(start, _limit(limit))]

    async def status(self) -> ContextStatus:
        """How it stands with the context, peer by peer."""
        with translated():
            return ContextStatus._of(await self._native.status())

    async def commitment(self) -> bytes:
        """The state commitment, 32 bytes: equal on all members that hold the same history."""
        with translated():
            return bytes(await self._native.commitment())

    async def wait_synced(self, timeout: float | datetime.timedelta = 60) -> None:
        """Waits until a connected member's node is known to hold the same history and none is known to hold another.

        `TimeoutError` otherwise. What a peer is writing right now is not waited for. Cancelling drops the wait.
        """
        with translated():
            await self._native.wait_synced(milliseconds(timeout, "timeout"))

    async def rotate_keys(self) -> None:
        """New keys, for this member and for all that is sent from now on: for when a device may have been copied."""
        with translated():
            await self._native.rotate_keys()

    async def verify(self) -> Verification:
        """Compares everything that is kept of the context with what its history gives, and names the first difference.

        Recomputes the order, every receipt, every value and the state commitment. Nothing is changed. All calls are executed
        once more, so it takes as long as executing the history did; other callers of the context wait for a slice of it at
        most. A record that the store cannot read is a `CorruptError`. Cancelling ends it.
        """
        with translated():
            return Verification._of(await self._native.verify())

    async def explain(self, key: bytes, after: bytes | None = None, *, limit: int = 1000) -> list[Explanation]:
        """Why a key has its value: a page of the calls that wrote it, in order.

        At most `limit` (and 1,000) after a place (`Transaction.place`). Calls that were rejected for what they read of the key are
        among them. (Who was not permitted has read nothing; that is in `history`.)
        """
        start = None if after is None else data_of(after, "a place")
        with translated():
            page = await self._native.explain(StateKey(key), start, _limit(limit))
        return [Explanation._of(explanation) for explanation in page]
