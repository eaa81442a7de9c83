"""Kith: contexts that peers share, with no server between them.

    import asyncio, kith

    async def main():
        async with await kith.Node.open(kith.default_directory("example")) as node:
            context = await node.create_context()
            await context.put(kith.StateKey.of("notes", "today"), b"hello")

    asyncio.run(main())

`kith.sync` has the same without asyncio. In the examples of this package `node` is an open node, and `context` a context that
it has created; they are written as in `python -m asyncio`, where one may `await`.
"""

import atexit

from . import _errors, _events, _native
from ._application import Application, Call, LocalFault, State
from ._batch import Batch
from ._context import Context, Entry
from ._errors import *  # noqa: F403
from ._events import *  # noqa: F403
from ._events import Events
from ._info import (
    ContextInfo,
    Difference,
    Encryption,
    Explanation,
    Exported,
    Invitation,
    InvitationInfo,
    IssuedInvitation,
    Level,
    Member,
    Message,
    Outcome,
    Part,
    Receipt,
    Role,
    Transaction,
    Verification,
    Written,
)
from ._keys import StateKey
from ._log import set_log_level
from ._node import Node, default_directory, invitation
from ._status import ContextPeer, ContextSecurity, ContextStatus, NodeStatus, Peer, Relay, Strangers, SyncReport
from ._version import VERSION as __version__
from . import testing

if _native.version() != __version__:
    raise ImportError(f"the package is kith {__version__}, but its library is {_native.version()}")

# Threads of the library wake Python's futures and call its applications. None of them may be in such a call when the
# interpreter ends: the process would abort.
atexit.register(_native.close_gate)


def version() -> str:
    """The version of the package, which is the version of its library."""
    return __version__


__all__ = [
    "Application",
    "Batch",
    "Call",
    "Context",
    "ContextInfo",
    "ContextPeer",
    "ContextSecurity",
    "ContextStatus",
    "Difference",
    "Encryption",
    "Entry",
    "Events",
    "Explanation",
    "Exported",
    "Invitation",
    "InvitationInfo",
    "IssuedInvitation",
    "Level",
    "LocalFault",
    "Member",
    "Message",
    "Node",
    "NodeStatus",
    "Outcome",
    "Part",
    "Peer",
    "Receipt",
    "Relay",
    "Role",
    "State",
    "StateKey",
    "Strangers",
    "SyncReport",
    "Transaction",
    "Verification",
    "Written",
    "default_directory",
    "invitation",
    "set_log_level",
    "testing",
    "version",
]
__all__ += _errors.__all__
__all__ += _events.__all__
