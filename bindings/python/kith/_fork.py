"""What becomes of handles in a forked process, which has the library's memory and none of its threads.

The child's copies of what the parent has open would wait for threads that are not there, and letting them go would close
in the child what the parent goes on with. So every handle is put out of use there: it is `ClosedError`, and nothing of it is
given back. The child may open nodes of its own.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, TypeVar

from . import _native
from ._errors import ClosedError

_T = TypeVar("_T")

_live: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_pinned: list[Any] = []
_forked = False


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
        raise ClosedError(
            "this was opened before the process was forked, and belongs to the parent: a forked process opens a node of its own"
        )


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
