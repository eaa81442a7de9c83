"""Helpers for tests of programs that use Kith."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from . import _native
from ._application import Application, Hosted
from ._context import Context
from ._errors import translated
from ._fork import here, tracked
from ._keys import StateKey, data_of
from ._node import Node

# Its generated constructor has no types.
_hub_class: Any = _native.Hub
_SOMEBODY = bytes([1]) * 32


class Hub:
    """A place in the memory of this process where nodes meet: no sockets, and links that a test can break.

    >>> hub = kith.testing.Hub()
    >>> async with kith.testing.two_nodes(hub) as (one, other):
    ...     token = await (await one.create_context()).invite()
    ...     hub.partition(one, other)
    ...     try:
    ...         await other.join(token, timeout=0.1)
    ...     except (kith.TimeoutError, kith.UnreachableError):
    ...         hub.heal(one, other)
    ...     (await other.join(token)).role
    'writer'
    """

    def __init__(self) -> None:
        self._native: _native.Hub = _hub_class()
        tracked(self)

    def partition(self, one: Node, other: Node) -> None:
        """Breaks the link between two nodes and keeps them apart until `heal`."""
        with translated():
            self._native.partition(one.id, other.id)

    def heal(self, one: Node, other: Node) -> None:
        """Lets two nodes meet again; they do so by themselves."""
        with translated():
            self._native.heal(one.id, other.id)


_everybody: Hub | None = None


def _hub_of_all() -> Hub:
    global _everybody
    if _everybody is None:
        _everybody = Hub()
    return _everybody


def _after_in_child() -> None:
    # A process that was forked before any node was opened has nodes, and so a hub, of its own.
    global _everybody
    _everybody = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)


async def memory_node(hub: Hub | None = None, *, event_retention: int | None = None) -> Node:
    """A node that keeps everything in memory and meets the others of its hub; without one, all such nodes of the process.

    >>> async with await kith.testing.memory_node() as node:
    ...     (await node.create_context()).role
    'admin'
    """
    native = here((hub or _hub_of_all())._native)
    return await Node.open(None, discovery=False, event_retention=event_retention, _hub=native)


@contextlib.asynccontextmanager
async def two_nodes(hub: Hub | None = None) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes in memory, shut down at the end. They meet when one joins a context of the other.

    >>> async with kith.testing.two_nodes() as (one, other):
    ...     mine = await one.create_context()
    ...     (await other.join(await mine.invite())).id == mine.id
    True
    """
    async with await memory_node(hub) as one, await memory_node(hub) as other:
        yield one, other


@contextlib.asynccontextmanager
async def two_members(
    application: str = "kv", *, applications: tuple[Application, Application] | None = None, hub: Hub | None = None
) -> AsyncIterator[tuple[Context, Context]]:
    """A context of a first node that a second one has joined, as both hold it: the first is its admin.

    `applications` are what the nodes register under the name first, one each.

    >>> milk = kith.StateKey.of("shopping", "milk")
    >>> async with kith.testing.two_members() as (mine, theirs):
    ...     events = await theirs.subscribe()
    ...     _ = await mine.put(milk, b"2 litres")
    ...     async for event in events:
    ...         if isinstance(event, kith.Changed):
    ...             break
    ...     await theirs.commitment() == await mine.commitment()
    True
    """
    async with two_nodes(hub) as (one, other):
        for node, hosted in zip((one, other), applications or ()):
            node.register(application, hosted)
        mine = await one.create_context(application)
        yield mine, await other.join(await mine.invite())


class ApplicationBench:
    """Runs one application's calls on a state in memory, through the same border as a node does.

    A rejected call raises `kith.RejectedError` and writes nothing; a local fault raises `kith.BlockedError`.

    >>> class Echo(kith.Application):
    ...     def execute(self, call, state):
    ...         state.emit("said", call.arguments)
    ...         return call.arguments
    >>> bench = kith.testing.ApplicationBench(Echo())
    >>> bench.execute("say", b"hello"), bench.emitted(), bench.entries()
    (b'hello', ['said'], {})
    """

    def __init__(self, application: Application, arguments: bytes = b"") -> None:
        with translated():
            self._native = _native.ApplicationBench(Hosted(application), data_of(arguments))
        tracked(self)

    def execute(
        self,
        method: str,
        arguments: bytes = b"",
        *,
        member: bytes = _SOMEBODY,
        role: str = "writer",
        timestamp: int = 0,
    ) -> bytes:
        """Executes a call; the application's answer."""
        with translated():
            return bytes(self._native.execute(method, data_of(arguments), data_of(member), role, timestamp))

    def query(self, method: str, arguments: bytes = b"") -> bytes:
        """Answers a read-only call."""
        with translated():
            return bytes(self._native.query(method, data_of(arguments)))

    def entries(self) -> dict[StateKey, bytes]:
        """The whole state, in key order."""
        return {StateKey(entry.key): entry.value for entry in self._native.entries()}

    def emitted(self) -> list[str]:
        """The names of the messages that accepted calls have emitted."""
        return list(self._native.emitted())
