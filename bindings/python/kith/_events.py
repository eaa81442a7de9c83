"""What happens in a context."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import threading
from collections.abc import AsyncIterator
from typing import Any

from . import _native
from ._errors import ClosedError, TimeoutError, translated
from ._fork import here, tracked
from ._keys import StateKey, milliseconds

__all__ = [
    "Blocked",
    "Changed",
    "Closed",
    "Emitted",
    "Equivocation",
    "Event",
    "Executed",
    "KeyTrouble",
    "KeyViolation",
    "Lagged",
    "MemberJoined",
    "MemberLeft",
    "MemberRemoved",
    "PeerConnected",
    "PeerDisconnected",
    "Rejected",
    "Reordered",
    "Renamed",
    "RoleChanged",
    "SyncProgress",
    "Synced",
    "UnknownEvent",
]


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened in a context. `Context.events(after=event.cursor)` goes on behind it."""

    cursor: int
    """Where in the stream it is. Events that happened together share a cursor."""


@dataclasses.dataclass(frozen=True)
class Executed(Event):
    """A call was executed at its place. It may come again with another outcome after `Reordered`."""

    transaction: bytes
    member: bytes
    again: bool


@dataclasses.dataclass(frozen=True)
class Changed(Event):
    """These entries of the state changed."""

    keys: list[StateKey]


@dataclasses.dataclass(frozen=True)
class Reordered(Event):
    """Something was inserted into the order before what was there."""

    first: bytes
    """The first transaction that moved."""


@dataclasses.dataclass(frozen=True)
class Rejected(Event):
    """A transaction of this node's own was accepted when it was made, and counts no more."""

    transaction: bytes
    reason: str


@dataclasses.dataclass(frozen=True)
class MemberJoined(Event):
    """Somebody became a member."""

    member: bytes
    role: str


@dataclasses.dataclass(frozen=True)
class MemberLeft(Event):
    """A member left."""

    member: bytes


@dataclasses.dataclass(frozen=True)
class MemberRemoved(Event):
    """A member was removed."""

    member: bytes


@dataclasses.dataclass(frozen=True)
class RoleChanged(Event):
    """A member has another role."""

    member: bytes
    role: str


@dataclasses.dataclass(frozen=True)
class Renamed(Event):
    """A member calls itself something else; or, where it names no member, the context is called something else."""

    member: bytes | None
    name: str


@dataclasses.dataclass(frozen=True)
class Equivocation(Event):
    """A member has signed two histories."""

    member: bytes
    one: bytes
    other: bytes


@dataclasses.dataclass(frozen=True)
class Blocked(Event):
    """Applying stands still."""

    cause: str


@dataclasses.dataclass(frozen=True)
class Emitted(Event):
    """The application says something."""

    transaction: bytes
    name: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class SyncProgress(Event):
    """How far catch-up with a peer is, in transactions. Not replayed."""

    peer: str
    done: int
    total: int


@dataclasses.dataclass(frozen=True)
class Synced(Event):
    """Everything that the peer has is here. Not replayed."""

    peer: str


@dataclasses.dataclass(frozen=True)
class PeerConnected(Event):
    """A member's node is connected. Not replayed."""

    peer: str
    member: bytes


@dataclasses.dataclass(frozen=True)
class PeerDisconnected(Event):
    """A member's node is connected no more. Not replayed.

    `reason` is one of these words, which stay the same, then `: ` and, for people, what exactly it was:
    - `closed`: by this side, which suspends, shuts down, leaves, or reads its store anew;
    - `gone`: by the other side, or the connection is lost;
    - `refused`: one of them is no member any more in the other's eyes;
    - `misbehaved`: it sent what no honest node sends;
    - `version`: it speaks another version of sync;
    - `limit`: it sent more than it may, or takes nothing, or comes too fast for this side;
    - `timeout`: it stands still where something is due.
    """

    peer: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Lagged(Event):
    """The reader was too slow and events were dropped: start again from the cursor, or read the state again."""

    missed: int


@dataclasses.dataclass(frozen=True)
class Closed(Event):
    """The context is closed here. The last event."""

    reason: str


@dataclasses.dataclass(frozen=True)
class KeyTrouble(Event):
    """Keys or a message that a member made cannot be opened here.

    Nothing is lost: what it says comes from another member, or from that one, as soon as one is connected. If it happens again
    and again with one member, its device or its build is at fault. `what` says, for people, what is wrong and what to do about it.
    """

    member: bytes
    transaction: bytes
    what: str


@dataclasses.dataclass(frozen=True)
class KeyViolation(Event):
    """A member sent a message under keys that were not to be used: a removed member may be able to read it.

    Its build is at fault, or it does so on purpose: have it updated, or remove it.
    """

    member: bytes
    transaction: bytes


@dataclasses.dataclass(frozen=True)
class UnknownEvent(Event):
    """An event that this version of the package does not know."""

    description: str


_CLASSES = {cls.__name__.upper(): cls for cls in Event.__subclasses__()}


def _event_of(happened: _native.Happened) -> Event:
    event: Any = happened.event
    # The generated variants are named like "Event.MEMBER_JOINED".
    name = type(event).__name__.rsplit(".", 1)[-1].replace("_", "")
    cls = _CLASSES.get(name)
    if cls is None:
        return UnknownEvent(happened.cursor, getattr(event, "description", name))
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(cls) if field.name != "cursor"}
    if "keys" in values:
        values["keys"] = [StateKey(key) for key in values["keys"]]
    return cls(happened.cursor, **values)


class Events(AsyncIterator[Event]):
    """A stream of events. It ends after `Closed`, and when the node is shut down. Tasks share it: each event goes to one of them.

    >>> async with kith.testing.two_members() as (mine, theirs):
    ...     events = await theirs.subscribe()
    ...     _ = await mine.remove(theirs.me)
    ...     [type(event).__name__ async for event in events][-1]
    'Closed'
    """

    def __init__(self, native: _native.Events) -> None:
        """Not to be called: `Context.subscribe` makes streams."""
        self._native = native
        self._at_hand: collections.deque[_native.Happened] = collections.deque()
        self._takes = 0
        self._taking = threading.Lock()
        self._ended = False
        tracked(self)

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.next()
        except ClosedError:
            raise StopAsyncIteration from None

    async def next(self, timeout: float | datetime.timedelta | None = None) -> Event:
        """Waits for the next event, for ever or until `timeout` (seconds, or a `timedelta`) is over: `TimeoutError`.

        Neither that nor cancelling the wait loses an event. `ClosedError` at the end of the stream.

        >>> events = await context.subscribe()
        >>> await events.next(timeout=0.01)
        Traceback (most recent call last):
        kith.TimeoutError: no event came within 0.01 s
        """
        if timeout is None:
            return await self._next()
        seconds = milliseconds(timeout, "timeout") / 1000
        try:
            return await asyncio.wait_for(self._next(), seconds)
        except asyncio.TimeoutError:
            raise TimeoutError(f"no event came within {seconds} s") from None

    async def _next(self) -> Event:
        while not self._ended:
            # Before what is at hand: a take between the two is then one that the wait has not seen.
            seen = self._takes
            with translated():
                native = here(self._native)
                event = self._crossed()
                if event is None:
                    await native.ready(seen)
                    self._take(native)
                    continue
            self._ended = isinstance(event, Closed)
            return event
        raise ClosedError("the context is closed here, and this was said already")

    def _crossed(self) -> Event | None:
        """One that has crossed before, with others. Tasks that read the same stream share them."""
        try:
            happened = self._at_hand.popleft()
        except IndexError:
            return None
        return _event_of(happened)

    def _take(self, native: _native.Events) -> None:
        """Takes what is there, if no other task was faster. What is counted is at hand."""
        happened = native.take()
        if happened:
            with self._taking:
                self._at_hand.extend(happened)
                self._takes += 1
