"""What becomes of handles in a forked process, which has the library's memory and none of its threads.

The library refuses calls there, new nodes too, once the parent has opened one (docs/border.md). The package puts the child's copies of
the parent's handles out of use besides, before anything can reach the library: they are `UnsupportedError`, and nothing of them is given back.
A process that is forked before any node was opened is one like any other.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, TypeVar

from . import _native
from ._errors import UnsupportedError

_T = TypeVar("_T")

_live: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_pinned: list[Any] = []
_forked = False
_MESSAGE = "this process was forked from the one that opened this: open nodes in processes that are started anew"


def tracked(handle: _T) -> _T:
    """Remembers an object that has something of the library's in `_native`."""
    _live[id(handle)] = handle
    return handle


def is_forked() -> bool:
    """Whether this process is a fork of one that had loaded the library."""
    return _forked


class _Elsewhere:
    """Stands where a handle of the parent process was."""

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedError(_MESSAGE)


def here(native: _T) -> _T:
    """What is handed to the library as it is: `UnsupportedError` if it was the parent process's."""
    if isinstance(native, _Elsewhere):
        raise UnsupportedError(_MESSAGE)
    return native


def _after_in_child() -> None:
    global _forked
    _forked = True
    _native.after_fork()
    elsewhere = _Elsewhere()
    for handle in list(_live.values()):
        native, handle._native = handle._native, elsewhere
        # The generated finalizer gives back what it finds here.
        native._handle = None
        _pinned.append(native)
    _live.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
