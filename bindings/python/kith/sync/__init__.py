"""Kith without asyncio: the same names, for scripts, notebooks and programs with threads.

>>> import kith.sync as kith
>>> with kith.testing.memory_node() as node:
...     context = node.create_context()
...     _ = context.put(kith.StateKey.of("notes", "today"), b"hello")
...     context.get(kith.StateKey.of("notes", "today"))
b'hello'

Every call blocks until it is done. `Node`, `Context` and `Events` are made from the asynchronous classes: what these
`await`, return and raise, these call, return and raise. All else is the same: `kith.sync.StateKey` is `kith.StateKey`.

Any thread may call, also one in which an event loop runs (a notebook's cell, say), which then stands still meanwhile. The
calls are carried out on one event loop in a thread of its own, `kith-sync`, but for `get` and `entries`, which read on the
caller's own and take a fraction of the time. Ctrl-C in mid-call cancels the call, in the
sense that its documentation gives to cancelling. From inside applications and other callbacks of the library, calls are
`UnsupportedError`.

A process that was forked from one with nodes has none of the library's threads: every call is `UnsupportedError` in the child,
and the parent goes on (`multiprocessing` with "spawn" is fine, and so is what is forked before any node was opened). At the end of
the program nothing is waited for: a node that was not shut down is as after a crash, which loses nothing that was acknowledged.
"""

from . import _same, testing
from ._blocking import Context, Events, Node
from ._same import *  # noqa: F403

__all__ = ["Context", "Events", "Node", "testing"]
__all__ += _same.__all__
