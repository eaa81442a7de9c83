"""Helpers for tests of programs that use Kith."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from . import _native
from ._application import Application, Hosted
from ._errors import translated
from ._keys import StateKey, data_of
from ._node import Node

_SOMEBODY = bytes([1]) * 32
_ONLY_THIS_MACHINE = ("/ip4/127.0.0.1/tcp/0",)


async def memory_node() -> Node:
    """A node that keeps everything in memory and is reached only from this machine."""
    return await Node.open(None, listen=_ONLY_THIS_MACHINE, discovery=False)


@contextlib.asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes in memory, shut down at the end. They meet when one joins a context of the other."""
    async with await memory_node() as one, await memory_node() as other:
        yield one, other


class ApplicationBench:
    """Runs one application's calls on a state in memory, through the same border as a node does.

    A rejected call raises `kith.RejectedError` and writes nothing; a local fault raises `kith.BlockedError`.
    """

    def __init__(self, application: Application, arguments: bytes = b"") -> None:
        with translated():
            self._native = _native.ApplicationBench(Hosted(application), data_of(arguments))

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
