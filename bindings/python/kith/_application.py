"""Applications of the host: deterministic code in Python that executes method calls over a context's state."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from . import _native
from ._errors import InvalidArgumentError, KithError, LimitExceededError, RejectedError, inside
from ._keys import StateKey, data_of

# The generated module hangs the variants onto this class at run time, where a type checker does not see them.
_Failed: Any = _native.ApplicationFailure

_T = TypeVar("_T")


class LocalFault(Exception):
    """Raised by an application when something is wrong on this machine only.

    Applying halts, says so (`Blocked`), and is tried again every few seconds; an admin's `Context.skip` rejects the call
    for all. `MemoryError`, `TimeoutError`, `KeyboardInterrupt`, `SystemExit` and this library's own errors count as faults
    of this machine too, but for `InvalidArgumentError`, `LimitExceededError` and `RejectedError`, which every member gets
    alike. Every other exception rejects the call, which is what every member must then do.
    """


_FAULTS = (LocalFault, MemoryError, builtins.TimeoutError, KithError)
_ALIKE_EVERYWHERE = (InvalidArgumentError, LimitExceededError, RejectedError)


@dataclasses.dataclass(frozen=True)
class Call:
    """One method call, as every member sees it."""

    method: str
    arguments: bytes
    member: bytes
    """Who calls: 32 bytes."""
    role: str
    """The caller's role at this place in the order: "admin", "writer" or "reader"."""
    transaction: bytes
    """The id of the transaction that carries the call: 32 bytes."""
    timestamp: int
    """The author's clock, ms since 1970. The same everywhere, but the author may lie."""


class State:
    """The state during one call of an application. It is closed when the call ends, and stays on the call's thread."""

    def __init__(self, native: _native.HostState) -> None:
        self._native = native

    def get(self, key: bytes) -> bytes | None:
        """The value under a key."""
        return _in_application(lambda: self._native.get(StateKey(key)))

    def put(self, key: bytes, value: bytes) -> None:
        """Sets a key's value (at most 1 MiB)."""
        _in_application(lambda: self._native.put(StateKey(key), data_of(value)))

    def delete(self, key: bytes) -> None:
        """Removes a key; nothing happens if it is absent."""
        _in_application(lambda: self._native.delete(StateKey(key)))

    def entries(self, prefix: bytes = b"", after: bytes | None = None, limit: int = 100) -> list[tuple[StateKey, bytes]]:
        """At most `limit` entries whose keys begin with `prefix` and sort after `after`, in key order."""
        start = None if after is None else StateKey(after)
        page = _in_application(lambda: self._native.entries(data_of(prefix), start, limit))
        return [(StateKey(entry.key), entry.value) for entry in page]

    def emit(self, name: str, data: bytes = b"") -> None:
        """Hands a named message to the hosts of all members, once the call is accepted."""
        _in_application(lambda: self._native.emit(name, data_of(data)))


class _StateFailure(Exception):
    """A failure of the state on its way through the application. The library knows it already."""

    def __init__(self, failure: Any) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _in_application(body: Callable[[], _T]) -> _T:
    try:
        return body()
    except _Failed as failure:
        raise _StateFailure(failure) from None


class Application:
    """Deterministic code that executes method calls. Subclass it and register it with a node.

    The same inputs must give the same result on every member, in every language: no clock, no randomness, no I/O, no
    floats from outside.

    Each context calls it on a thread of its own (`kith-context`), one call after another: one that hangs holds up its own
    context and no other. It may use the state that it is given and `StateKey`; other calls of this library from there are
    `UnsupportedError`, since the thread that would answer is the one that asks.

    >>> class Counter(kith.Application):
    ...     def execute(self, call, state):
    ...         if call.method != "count":
    ...             raise ValueError(f"there is no method {call.method}")
    ...         key = kith.StateKey.of("counter", "count")
    ...         count = int(state.get(key) or b"0") + 1
    ...         state.put(key, str(count).encode())
    ...         return str(count).encode()
    >>> bench = kith.testing.ApplicationBench(Counter())
    >>> bench.execute("count"), bench.execute("count")
    (b'1', b'2')
    >>> bench.execute("tell")
    Traceback (most recent call last):
    kith.RejectedError: ValueError: there is no method tell
    """

    def initialise(self, arguments: bytes, state: State) -> None:
        """Sets up the state of a new context from its creator's arguments."""
        if arguments:
            raise ValueError("this application takes no arguments")

    def execute(self, call: Call, state: State) -> bytes:
        """Executes one call; the bytes are the receipt's output. Raising rejects the call."""
        raise NotImplementedError

    def query(self, method: str, arguments: bytes, state: State) -> bytes:
        """Answers a read-only call, on this member only; whatever it writes is thrown away."""
        raise ValueError(f"this application has no query {method!r}")


class Hosted(_native.HostApplication):
    """An application as the library calls it: bytes in, bytes out, and two kinds of failure."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def initialise(self, arguments: bytes, state: _native.HostState) -> None:
        _outcome(lambda: self._application.initialise(arguments, State(state)))

    def execute(self, call: _native.Call, state: _native.HostState) -> bytes:
        seen = Call(call.method, call.arguments, call.member, call.role, call.transaction, call.timestamp)
        return _bytes(_outcome(lambda: self._application.execute(seen, State(state))))

    def query(self, method: str, arguments: bytes, state: _native.HostState) -> bytes:
        return _bytes(_outcome(lambda: self._application.query(method, arguments, State(state))))


def _outcome(body: Callable[[], _T]) -> _T:
    try:
        with inside("an application's callback"):
            return body()
    except _StateFailure as failure:
        raise failure.failure from None
    except Exception as error:
        if isinstance(error, _FAULTS) and not isinstance(error, _ALIKE_EVERYWHERE):
            raise _Failed.Fault(_text(error)) from None
        raise _Failed.Rejected(_text(error)) from None
    except BaseException as error:
        raise _Failed.Fault(_text(error)) from None


def _bytes(answer: object) -> bytes:
    if isinstance(answer, (bytes, bytearray, memoryview)):
        return bytes(answer)
    raise _Failed.Rejected(f"the application answered {type(answer).__name__}, not bytes")


def _text(error: BaseException) -> str:
    try:
        words = str(error)
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
