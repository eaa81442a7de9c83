"""Contexts."""

from __future__ import annotations

import dataclasses
import datetime
import struct
from collections.abc import AsyncIterator, Iterator

from . import _native
from ._batch import Batch, number_of, optional
from ._errors import InvalidArgumentError, translated
from ._events import Event, Events
from ._fork import tracked
from ._info import (
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
from ._keys import StateKey, data_of, id_of, limit_of, milliseconds
from ._status import ContextSecurity, ContextStatus

_WEEK = datetime.timedelta(days=7)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of the state."""

    key: StateKey
    value: bytes


def _unpacked(page: bytes) -> Iterator[Entry]:
    """The entries of a page as it crosses: each a key, the length of its value, and its value."""
    at, length_at = 0, struct.Struct(">I").unpack_from
    while at < len(page):
        (length,) = length_at(page, at + 32)
        value = at + 36
        yield Entry(StateKey._known(page[at : at + 32]), page[value : value + length])
        at = value + length


class Context:
    """An application's state that its members share.

    Methods that write return once what they wrote is durable and on its way. Cancelling one (a task's `cancel`,
    `asyncio.timeout`) lets it finish in the background, whole: whether it still happens is known by looking. Cancelling
    one that reads or waits drops it. Handles are cheap and hold nothing open: the context lives with its node. After the
    node's shutdown every method raises `ClosedError`, and so do those that need the store while the node is suspended.

    >>> home = await node.create_context(name="home")
    >>> milk = kith.StateKey.of("shopping", "milk")
    >>> _ = await home.put(milk, b"2 litres")
    >>> await home.get(milk)
    b'2 litres'
    """

    def __init__(self, native: _native.Context) -> None:
        """Not to be called: nodes make contexts."""
        self._native = native
        tracked(self)

    def __repr__(self) -> str:
        return f"<kith.Context {self.id.hex()[:8]}…>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and (self.id, self.me) == (other.id, other.me)

    def __hash__(self) -> int:
        return hash((self.id, self.me))

    @property
    def id(self) -> bytes:
        """The context's id: 32 bytes.

        >>> node.context(context.id) == context
        True
        """
        return bytes(self._native.id())

    @property
    def me(self) -> bytes:
        """This node's member in the context: 32 bytes.

        >>> [member.id for member in await context.members()] == [context.me]
        True
        """
        return bytes(self._native.me())

    @property
    def role(self) -> str | None:
        """This node's role; `None` if it is no member (yet, or any more).

        >>> context.role
        'admin'
        """
        return self._native.role()

    @property
    def application(self) -> str:
        """The name of the application.

        >>> context.application
        'kv'
        """
        return self._native.application()

    @property
    def name(self) -> str:
        """What the context is called.

        >>> (await node.create_context(name="home")).name
        'home'
        """
        return self._native.name()

    async def execute(self, method: str, arguments: bytes = b"") -> Receipt:
        """Carries out a method call of the application.

        When it returns, the call is executed, durable and on its way to the other members. What the application refuses
        is a `RejectedError`, and is not published.

        >>> class Visits(kith.Application):
        ...     def execute(self, call, state):
        ...         key = kith.StateKey.of("visits", call.arguments.decode())
        ...         count = len(state.get(key) or b"") + 1
        ...         state.put(key, bytes(count))
        ...         return str(count).encode()
        >>> node.register("visits", Visits())
        >>> visits = await node.create_context("visits")
        >>> (await visits.execute("visit", b"anna")).output
        b'1'
        >>> (await visits.execute("visit", b"anna")).output
        b'2'
        """
        with translated():
            done = await self._native.execute(method, data_of(arguments, "arguments"))
        return Receipt(done.transaction, done.output)

    async def query(self, method: str, arguments: bytes = b"") -> bytes:
        """Answers a read-only call of the application, on this member only.

        >>> class Echo(kith.Application):
        ...     def query(self, method, arguments, state):
        ...         return method.encode() + b" " + arguments
        >>> node.register("echo", Echo())
        >>> echo = await node.create_context("echo")
        >>> await echo.query("hello", b"world")
        b'hello world'
        """
        with translated():
            return bytes(await self._native.query(method, data_of(arguments, "arguments")))

    async def get(self, key: bytes, level: Level = Level.TENTATIVE) -> bytes | None:
        """The value under a key.

        >>> await context.get(kith.StateKey.of("shopping", "caviar")) is None
        True
        """
        with translated():
            return await self._native.get(StateKey(key), level is Level.FINAL)

    def _get_blocking(self, key: bytes, level: Level = Level.TENTATIVE) -> bytes | None:
        with translated():
            return self._native.get_blocking(StateKey(key), level is Level.FINAL)

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

        >>> for item in ("milk", "bread"):
        ...     _ = await context.put(kith.StateKey.of("shopping", item), item.encode())
        >>> page = await context.entries(kith.StateKey.collection("shopping"), limit=1)
        >>> rest = await context.entries(kith.StateKey.collection("shopping"), after=page[-1].key)
        >>> sorted(entry.value for entry in page + rest)
        [b'bread', b'milk']
        """
        start = None if after is None else StateKey(after)
        with translated():
            page = await self._native.packed_entries(
                data_of(prefix, "a prefix"), start, limit_of(limit), level is Level.FINAL
            )
        return list(_unpacked(page))

    def _entries_blocking(
        self,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        limit: int = 1000,
        level: Level = Level.TENTATIVE,
    ) -> list[Entry]:
        start = None if after is None else StateKey(after)
        with translated():
            page = self._native.packed_entries_blocking(
                data_of(prefix, "a prefix"), start, limit_of(limit), level is Level.FINAL
            )
        return list(_unpacked(page))

    async def all_entries(self, prefix: bytes = b"", *, level: Level = Level.TENTATIVE) -> AsyncIterator[Entry]:
        """All entries whose keys begin with `prefix`, page by page. What changes meanwhile may be seen or not.

        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> [entry.value async for entry in context.all_entries(kith.StateKey.collection("shopping"))]
        [b'2 litres']
        """
        after: bytes | None = None
        while page := await self.entries(prefix, after=after, level=level):
            for entry in page:
                yield entry
            after = page[-1].key

    async def put(self, key: bytes, value: bytes) -> bytes:
        """Sets a key to a value of at most 1 MiB; the transaction's id. Needs the `kv` application, like the next five.

        >>> transaction = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> (await context.transaction(transaction)).outcome
        <Outcome.ACCEPTED: 'accepted'>
        """
        with translated():
            return bytes(await self._native.put(StateKey(key), data_of(value)))

    async def delete(self, key: bytes) -> bytes:
        """Removes a key; nothing happens if it is absent.

        >>> milk = kith.StateKey.of("shopping", "milk")
        >>> _ = await context.put(milk, b"2 litres")
        >>> _ = await context.delete(milk)
        >>> await context.get(milk) is None
        True
        """
        with translated():
            return bytes(await self._native.delete(StateKey(key)))

    async def add(self, key: bytes, number: int) -> int:
        """Adds to a counter; its new value, which may still move with the order.

        >>> count = kith.StateKey.of("shopping", "count")
        >>> await context.add(count, 3)
        3
        >>> await context.add(count, -1)
        2
        """
        with translated():
            return int(await self._native.add(StateKey(key), number_of(number)))

    async def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes | None) -> bytes:
        """Sets a key if its value is the expected one; `RejectedError` otherwise. `None` stands for absence.

        >>> turn = kith.StateKey.of("game", "turn")
        >>> _ = await context.compare_and_set(turn, None, b"anna")
        >>> await context.compare_and_set(turn, b"ben", b"anna")
        Traceback (most recent call last):
        kith.RejectedError: ...
        """
        with translated():
            return bytes(await self._native.compare_and_set(StateKey(key), optional(expected), optional(value)))

    async def append(self, key: bytes, data: bytes) -> bytes:
        """Appends to a value; the result has at most 1 MiB.

        >>> log = kith.StateKey.of("notes", "log")
        >>> for line in (b"one;", b"two;"):
        ...     _ = await context.append(log, line)
        >>> await context.get(log)
        b'one;two;'
        """
        with translated():
            return bytes(await self._native.append(StateKey(key), data_of(data)))

    async def batch(self, batch: Batch) -> bytes:
        """Carries out several operations, all or none.

        >>> a, b = kith.StateKey.of("accounts", "a"), kith.StateKey.of("accounts", "b")
        >>> _ = await context.batch(kith.Batch().add(a, -5).add(b, 5))
        """
        with translated():
            return bytes(await self._native.batch(batch._operations))

    async def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """The events from now on, or those after a cursor and then from now on (each at least once).

        "Now" is when the loop begins. Leaving the loop ends the subscription. `CursorExpiredError` if what followed the cursor is not kept any more.

        >>> cursor = 0
        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> async for event in context.events(after=cursor):
        ...     if isinstance(event, kith.Changed):
        ...         break
        >>> event.keys == [kith.StateKey.of("shopping", "milk")]
        True
        """
        async for event in await self.subscribe(after):
            yield event

    async def subscribe(self, after: int | None = None) -> Events:
        """Like `events`, but "now" is when this returns, so that nothing that is done afterwards is missed.

        >>> events = await context.subscribe()
        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> type(await events.next(timeout=30)).__name__
        'Executed'
        """
        with translated():
            return Events(await self._native.events(after))

    async def members(self) -> list[Member]:
        """The members.

        >>> _ = await context.set_display_name("Anna")
        >>> [(member.name, member.role) for member in await context.members()]
        [('Anna', 'admin')]
        """
        with translated():
            return [Member(info.id, info.role, info.added, info.name) for info in await self._native.members()]

    async def set_role(self, member: bytes, role: Role) -> bytes:
        """Gives a member another role; the transaction's id.

        Needs an admin; an admin is demoted only by a senior one or by itself.

        >>> async with kith.testing.two_members() as (mine, theirs):
        ...     _ = await mine.set_role(theirs.me, "reader")
        ...     sorted(member.role for member in await mine.members())
        ['admin', 'reader']
        """
        with translated():
            return bytes(await self._native.set_role(id_of(member, "a member id"), role))

    async def set_name(self, name: str) -> bytes:
        """Says what the context is called, in at most 128 bytes; the transaction's id. Needs an admin.

        >>> _ = await context.set_name("home")
        >>> context.name
        'home'
        """
        with translated():
            return bytes(await self._native.set_name(name))

    async def set_display_name(self, name: str) -> bytes:
        """Says what this member calls itself, in at most 128 bytes; empty takes it back. The transaction's id.

        >>> _ = await context.set_display_name("Anna")
        """
        with translated():
            return bytes(await self._native.set_display_name(name))

    async def remove(self, member: bytes) -> bytes:
        """Removes a member; the transaction's id.

        Needs an admin; an admin is removed only by a senior one. What it wrote and this node has not seen does not count.

        >>> async with kith.testing.two_members() as (mine, theirs):
        ...     _ = await mine.remove(theirs.me)
        ...     len(await mine.members())
        1
        """
        with translated():
            return bytes(await self._native.remove(id_of(member, "a member id")))

    async def leave(self) -> None:
        """Leaves the context: tells the others and deletes this node's copy.

        If nobody has heard of it within 5 s this returns all the same, and the copy is deleted once somebody has, in 30 days
        at the latest. The last admin of a context with other members has to make another one admin first. A context whose
        joining has not come to its end is deleted at once. Cancelling lets it finish in the background.

        >>> await context.leave()
        >>> node.contexts()
        []
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

        >>> token = await context.invite("reader", note="for Ben")
        >>> token.startswith("kith1")
        True
        """
        expires = None if expires_in is None else milliseconds(expires_in, "expires_in")
        if not 0 <= max_uses < 2**32:
            raise InvalidArgumentError(f"max_uses is {max_uses}")
        with translated():
            return Invitation._of(await self._native.invite(role, expires, max_uses, note))

    async def invitations(self) -> list[IssuedInvitation]:
        """The invitations of the context.

        >>> _ = await context.invite(max_uses=3, note="for the family")
        >>> [(issued.note, issued.uses, issued.max_uses) for issued in await context.invitations()]
        [('for the family', 0, 3)]
        """
        with translated():
            return [IssuedInvitation._of(info) for info in await self._native.invitations()]

    async def revoke(self, invitation: bytes | Invitation) -> bytes:
        """Takes an invitation back, by its id; the transaction's id.

        Needs an admin. Who joined by it without this having been seen is out.

        >>> token = await context.invite()
        >>> _ = await context.revoke(token)
        >>> [issued.revoked for issued in await context.invitations()]
        [True]
        """
        id = invitation.id if isinstance(invitation, Invitation) else invitation
        with translated():
            return bytes(await self._native.revoke(id_of(id, "an invitation's id")))

    async def skip(self, transaction: bytes) -> bytes:
        """Rejects a call for all members, after a local fault that stops applying (`ContextStatus.blocked` names it).

        Needs an admin. The id of the transaction that says so.

        >>> id = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> _ = await context.skip(id)
        >>> (await context.transaction(id)).outcome
        <Outcome.REJECTED: 'rejected'>
        """
        with translated():
            return bytes(await self._native.skip(id_of(transaction, "a transaction id")))

    async def transaction(self, id: bytes) -> Transaction | None:
        """How it stands with a transaction; `None` if it is not in the history.

        >>> await context.transaction(bytes(32)) is None
        True
        """
        with translated():
            info = await self._native.transaction(id_of(id, "a transaction id"))
        return None if info is None else Transaction._of(info)

    async def history(self, after: bytes | None = None, *, limit: int = 1000) -> list[Transaction]:
        """A page of the order: at most `limit` (and 1,000) transactions after a place (`Transaction.place`).

        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> page = await context.history(limit=1)
        >>> (await context.history(page[-1].place))[-1].method
        'put'
        """
        start = None if after is None else data_of(after, "a place")
        with translated():
            return [Transaction._of(info) for info in await self._native.history(start, limit_of(limit))]

    async def status(self) -> ContextStatus:
        """How it stands with the context, peer by peer.

        >>> status = await context.status()
        >>> status.waiting, status.blocked, status.peers
        (0, None, [])
        """
        with translated():
            return ContextStatus._of(await self._native.status())

    async def commitment(self) -> bytes:
        """The state commitment, 32 bytes: equal on all members that hold the same history.

        It is of the state alone, and may be equal before the histories are: `ContextStatus.digest` is of these.

        >>> before = await context.commitment()
        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> await context.commitment() == before
        False
        """
        with translated():
            return bytes(await self._native.commitment())

    async def wait_synced(self, timeout: float | datetime.timedelta = 60) -> None:
        """Waits until all that is written here by now is durable with each connected member, and what these held is here.

        `TimeoutError` otherwise, also where no member is connected. What either side writes meanwhile is not waited for. Cancelling drops
        the wait.

        >>> async with kith.testing.two_members() as (mine, theirs):
        ...     _ = await mine.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        ...     await mine.wait_synced(timeout=30)
        ...     await theirs.get(kith.StateKey.of("shopping", "milk"))
        b'2 litres'
        """
        with translated():
            await self._native.wait_synced(milliseconds(timeout, "timeout"))

    async def rotate_keys(self) -> None:
        """New keys, for this member and for all that is sent from now on: for when a device may have been copied.

        In a context that is not sealed there is nothing to rotate: `UnsupportedError`.

        >>> await context.rotate_keys()
        """
        with translated():
            await self._native.rotate_keys()

    async def security(self) -> ContextSecurity:
        """How it stands with the context's keys: which epoch, how old, who was given it, and what was seen that should not be.

        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> security = await context.security()
        >>> security.suite, security.members_able, security.members, security.pending, security.violations
        ('x25519', 1, 1, None, 0)
        """
        with translated():
            return ContextSecurity._of(await self._native.security())

    async def verify(self) -> Verification:
        """Compares everything that is kept of the context with what its history gives, and names the first difference.

        Recomputes the order, every receipt, every value and the state commitment. Nothing is changed. All calls are executed
        once more, so it takes as long as executing the history did; other callers of the context wait for a slice of it at
        most. A record that the store cannot read is a `CorruptError`. Cancelling ends it.

        >>> _ = await context.put(kith.StateKey.of("shopping", "milk"), b"2 litres")
        >>> (await context.verify()).difference is None
        True
        """
        with translated():
            return Verification._of(await self._native.verify())

    async def explain(self, key: bytes, after: bytes | None = None, *, limit: int = 1000) -> list[Explanation]:
        """Why a key has its value: a page of the calls that wrote it, in order.

        At most `limit` (and 1,000) after a place (`Transaction.place`). Calls that were rejected for what they read of the key are
        among them. (Who was not permitted has read nothing; that is in `history`.)

        >>> milk = kith.StateKey.of("shopping", "milk")
        >>> _ = await context.put(milk, b"2 litres")
        >>> [(written.transaction.method, written.written.name) for written in await context.explain(milk)]
        [('put', 'VALUE')]
        """
        start = None if after is None else data_of(after, "a place")
        with translated():
            page = await self._native.explain(StateKey(key), start, limit_of(limit))
        return [Explanation._of(explanation) for explanation in page]
