"""The event loop behind `kith.sync`: one for the process, on a thread of its own, begun when it is first needed."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Generic, TypeVar

from .._errors import ClosedError, UnsupportedError, refuse_inside

_T = TypeVar("_T")


class _Thread:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="kith-sync", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


_lock = threading.Lock()
_thread: _Thread | None = None
_ended = False
# Loops of the process that this one was forked from: closing one here would take its sockets out of the parent's.
_abandoned: list[_Thread] = []


def _running() -> _Thread:
    global _thread
    with _lock:
        if _ended:
            raise ClosedError("the interpreter is ending")
        if _thread is None:
            _thread = _Thread()
        return _thread


def _end() -> None:
    global _ended
    with _lock:
        _ended = True
        if _thread is not None:
            _thread.end()


def _after_in_child() -> None:
    global _lock, _thread
    _lock = threading.Lock()
    if _thread is not None:
        _abandoned.append(_thread)
        _thread = None


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)


def here(function: Callable[..., _T], *args: Any, **named: Any) -> _T:
    """Does something short on the caller's own thread: what only reads needs no loop."""
    refuse_inside()
    if _ended:
        raise ClosedError("the interpreter is ending")
    if _thread is not None and threading.current_thread() is _thread.thread:
        raise _on_the_loop()
    return function(*args, **named)


def _on_the_loop() -> UnsupportedError:
    return UnsupportedError("kith.sync cannot be used on its own loop's thread: it would wait for itself")


def call(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Carries a coroutine out on the loop, and waits for it. What interrupts the wait (Ctrl-C) cancels it."""
    try:
        refuse_inside()
        running = _running()
        if threading.current_thread() is running.thread:
            raise _on_the_loop()
    except BaseException:
        coroutine.close()
        raise
    future = asyncio.run_coroutine_threadsafe(coroutine, running.loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        # What it was about to take, such as an event, is not taken any more when this returns.
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(_passed(), running.loop).result(5)
        raise
    finally:
        # The exception has this frame, and the future has the exception.
        del future


async def _passed() -> None:
    """Ends when what was cancelled before has been told."""
    for _ in range(3):
        await asyncio.sleep(0)


async def _result(awaitable: Awaitable[_T]) -> _T:
    return await awaitable


async def _closed(source: Any) -> None:
    await source.aclose()


def iterate(source: AsyncIterator[_T]) -> Iterator[_T]:
    """What an asynchronous generator gives, one after another. It begins with the first one that is asked for."""
    begun: _Thread | None = None
    try:
        while True:
            begun = _running()
            try:
                item = call(_result(source.__anext__()))
            except StopAsyncIteration:
                return
            yield item
    finally:
        # Maybe a finalizer: nothing waits here. A loop of the process before a fork is not ours to talk to.
        if begun is not None and begun is _thread and not _ended:
            asyncio.run_coroutine_threadsafe(_closed(source), begun.loop)


@contextmanager
def entered(manager: AbstractAsyncContextManager[_T]) -> Iterator[_T]:
    """An asynchronous context manager, entered and left on the loop."""
    value = call(_result(manager.__aenter__()))
    try:
        yield value
    except BaseException as error:
        if not call(_result(manager.__aexit__(type(error), error, error.__traceback__))):
            raise
    else:
        call(_result(manager.__aexit__(None, None, None)))


class Facade(Generic[_T]):
    """Stands before an object whose methods are coroutines."""

    def __init__(self, inner: _T) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner).replace("<kith.", "<kith.sync.", 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._inner == other._inner

    def __hash__(self) -> int:
        return hash(self._inner)
