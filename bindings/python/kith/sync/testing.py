"""Helpers for tests of programs that use `kith.sync`: those of `kith.testing`, without asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .. import testing as _testing
from .._application import Application
from ..testing import ApplicationBench
from ._blocking import Context, Node
from ._loop import call, entered

__all__ = ["ApplicationBench", "Hub", "memory_node", "two_members", "two_nodes"]


class Hub:
    """A place in the memory of this process where nodes meet: no sockets, and links that a test can break."""

    def __init__(self) -> None:
        self._hub = _testing.Hub()

    def partition(self, one: Node, other: Node) -> None:
        """Breaks the link between two nodes and keeps them apart until `heal`."""
        self._hub.partition(one._inner, other._inner)

    def heal(self, one: Node, other: Node) -> None:
        """Lets two nodes meet again; they do so by themselves."""
        self._hub.heal(one._inner, other._inner)


def memory_node(hub: Hub | None = None, *, event_retention: int | None = None) -> Node:
    """A node that keeps everything in memory and meets the others of its hub; without one, all such nodes of the process."""
    return Node(call(_testing.memory_node(_inner(hub), event_retention=event_retention)))


@contextlib.contextmanager
def two_nodes(hub: Hub | None = None) -> Iterator[tuple[Node, Node]]:
    """Two nodes in memory, shut down at the end. They meet when one joins a context of the other."""
    with entered(_testing.two_nodes(_inner(hub))) as (one, other):
        yield Node(one), Node(other)


@contextlib.contextmanager
def two_members(
    application: str = "kv", *, applications: tuple[Application, Application] | None = None, hub: Hub | None = None
) -> Iterator[tuple[Context, Context]]:
    """A context of a first node that a second one has joined, as both hold it: the first is its admin.

    `applications` are what the nodes register under the name first, one each.

    >>> with kith.testing.two_members() as (mine, theirs):
    ...     _ = mine.put(kith.StateKey.of("notes", "today"), b"milk")
    ...     mine.wait_synced()
    ...     theirs.get(kith.StateKey.of("notes", "today"))
    b'milk'
    """
    with entered(_testing.two_members(application, applications=applications, hub=_inner(hub))) as (mine, theirs):
        yield Context(mine), Context(theirs)


def _inner(hub: Hub | None) -> _testing.Hub | None:
    return None if hub is None else hub._hub
