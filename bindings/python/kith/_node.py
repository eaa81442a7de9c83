"""Nodes."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal

from . import _log, _native
from ._application import Application, Hosted
from ._context import Context
from ._errors import InvalidArgumentError, UnsupportedError, inside, translated
from ._fork import tracked
from ._info import ContextInfo, Encryption, Exported, Invitation, InvitationInfo
from ._keys import data_of, id_of, milliseconds
from ._status import NodeStatus, SyncReport

# The generated module hangs the variants onto this class at run time, where a type checker does not see them.
_StorageKey: Any = _native.StorageKey


class _Progress(_native.JoinProgress):
    def __init__(self, told: Callable[[int, int], object]) -> None:
        self._told = told

    def progress(self, done: int, total: int) -> None:
        try:
            with inside("a progress callback"):
                self._told(done, total)
        except Exception:
            # It has no caller that could be told.
            _log.LOGGER.exception("the progress callback raised")


def default_directory(name: str) -> str:
    """The directory for the node of a program of this name on this system, for `Node.open`. Nothing is made there.

    Linux and other Unix: `$XDG_DATA_HOME/NAME`, else `~/.local/share/NAME`. macOS: `~/Library/Application Support/NAME`.
    Windows: `%LOCALAPPDATA%\\NAME`. Android and iOS have none: `UnsupportedError`, since the host knows its own.

    >>> kith.default_directory("notes").endswith("notes")
    True
    """
    with translated():
        return _native.default_directory(name)


def invitation(token: str | bytes) -> Invitation:
    """An invitation from its text or its bytes. `InvitationInvalidError` if it is damaged.

    >>> token = await context.invite()
    >>> kith.invitation(str(token)).id == token.id
    True
    """
    with translated():
        if isinstance(token, str):
            return Invitation._of(_native.read_invitation(token, b""))
        return Invitation._of(_native.read_invitation(None, data_of(token, "an invitation")))


def _token(invitation_: str | bytes) -> str:
    return invitation_ if isinstance(invitation_, str) else invitation(invitation_)


def _storage_key(key: bytes | str) -> _native.StorageKey:
    native: _native.StorageKey
    native = _StorageKey.PASSPHRASE(key) if isinstance(key, str) else _StorageKey.KEY(data_of(key, "a storage key"))
    return native


def _path(path: str | os.PathLike[str]) -> str:
    return os.path.expanduser(os.fspath(path))


def _texts(values: Sequence[str], what: str) -> list[str]:
    if isinstance(values, str):
        raise InvalidArgumentError(f"{what} is a list of texts, not one text")
    return list(values)


class Node:
    """A node: a store, an endpoint in the network, and any number of contexts.

    `async with await Node.open(path) as node:` shuts it down at the end.

    >>> async with await kith.Node.open(None, listen=[], discovery=False) as node:
    ...     context = await node.create_context(name="home")
    ...     [info.name for info in node.contexts()]
    ['home']
    """

    def __init__(self, native: _native.Node) -> None:
        """Not to be called: `Node.open` makes nodes."""
        self._native = native
        tracked(self)

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str] | None,
        *,
        listen: Sequence[str] | None = None,
        bootstrap: Sequence[str] = (),
        relays: Sequence[str] = (),
        through_relays: bool = True,
        hole_punching: bool = True,
        autonat: bool = True,
        gossip: bool = True,
        discovery: bool = True,
        durability: Literal["power", "process"] = "power",
        event_retention: int | None = None,
        storage: Literal["auto", "sled", "redb"] = "auto",
        storage_key: bytes | str | None = None,
        log_level: str | None = None,
        _hub: _native.Hub | None = None,
    ) -> Node:
        """Opens a node in a directory, which is made if it does not exist; `None`: everything is kept in memory.

        A directory that another node has open is a `BusyError` at once. `listen` has multiaddresses
        (`/ip4/127.0.0.1/tcp/0`; port 0: the system chooses); `None`: all addresses of this machine. `bootstrap` has peers
        to connect to, as multiaddresses with `/p2p/…`. `discovery`: whether to find peers in the local network and be
        found. `durability`: whether what was acknowledged survives the loss of power, or only the death of the process.
        `event_retention`: how many batches of events are kept. `storage`: the engine that keeps the directory; `"auto"` is the
        one that the directory has, and for a new one redb; a directory of
        another engine is an `InvalidArgumentError`. `log_level`: as by `set_log_level`, for the whole process.

        `storage_key`: what everything in the directory is sealed under, as 32 random bytes that the host keeps (in the system's
        keystore) or as a passphrase of 1 to 1,024 bytes of UTF-8, from which the key is worked out in some tenths of a second;
        text that people type should be normalised (NFC). Another one, or none, is a `KeyRequiredError` from then on. Without one
        a key file beside the store is made, and `status` says so (`key_file`).

        `relays`: relays to be reached through, as multiaddresses with `/p2p/…`, at most 4; `status` says how it stands with them,
        and they see neither contexts nor what is said. `through_relays`: whether others are dialled through relays (always where
        `relays` are named). `hole_punching`: whether a direct connection is tried where a link goes through a relay. `autonat`:
        whether peers are asked which of the node's addresses they reach. `gossip`: whether contexts with more than 8 members
        gossip; without it they are in step a few seconds later.

        Cancelling drops the node once it is open.

        >>> import tempfile
        >>> directory = tempfile.TemporaryDirectory()
        >>> node = await kith.Node.open(directory.name, listen=["/ip4/127.0.0.1/tcp/0"], discovery=False)
        >>> await kith.Node.open(directory.name)
        Traceback (most recent call last):
        kith.BusyError: ...
        >>> await node.shutdown()
        >>> directory.cleanup()
        """
        if event_retention is not None and not 0 <= event_retention < 2**64:
            raise InvalidArgumentError(f"event_retention is {event_retention}")
        options = _native.NodeOptions(
            path=None if path is None else _path(path),
            listen=None if listen is None else _texts(listen, "listen"),
            bootstrap=_texts(bootstrap, "bootstrap"),
            discovery=discovery,
            relays=_texts(relays, "relays"),
            through_relays=through_relays,
            hole_punching=hole_punching,
            autonat=autonat,
            gossip=gossip,
            durability=durability,
            event_retention=event_retention,
            storage=storage,
            storage_key=None if storage_key is None else _storage_key(storage_key),
            hub=_hub,
        )
        _log.begin(log_level)
        with translated():
            return cls(await _native.Node.open(options))

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()

    def __repr__(self) -> str:
        return f"<kith.Node {self.id}>"

    @property
    def id(self) -> str:
        """The node's id in the network.

        >>> node.id.startswith("12D3Koo")
        True
        """
        return self._native.id()

    @property
    def addresses(self) -> list[str]:
        """Where the node listens: multiaddresses with `/p2p/…`.

        >>> all(address.endswith("/p2p/" + node.id) for address in node.addresses)
        True
        """
        return list(self._native.addresses())

    async def status(self) -> NodeStatus:
        """How it stands with the node and the peers that it knows.

        >>> status = await node.status()
        >>> status.id == node.id, status.peers
        (True, [])
        """
        with translated():
            return NodeStatus._of(await self._native.status())

    def register(self, name: str, application: Application) -> None:
        """Registers an application of the host's own. Contexts of that application that wait for it begin to execute.

        >>> class Nothing(kith.Application):
        ...     def execute(self, call, state):
        ...         return b""
        >>> node.register("nothing", Nothing())
        >>> (await node.create_context("nothing")).application
        'nothing'
        """
        with translated():
            self._native.register(name, Hosted(application))

    async def create_context(
        self,
        application: str = "kv",
        arguments: bytes = b"",
        *,
        name: str = "",
        encryption: Encryption = "x25519",
        policy: object = None,
    ) -> Context:
        """Creates a context with this node as its first member and admin. `name` is what people call it.

        `encryption`: how what is written is sealed, for good: `"x25519"`; `"xwing"`, which also withstands quantum computers and has
        keys about 13 times as large; or `"off"`. Between nodes everything is encrypted by the links besides.

        `policy` is not there yet: `UnsupportedError`. Cancelling lets it finish in the background: see `contexts`.

        >>> home = await node.create_context(name="home")
        >>> home.name, home.application, home.role
        ('home', 'kv', 'admin')
        >>> (await (await node.create_context(encryption="xwing")).security()).suite
        'xwing'
        """
        if policy is not None:
            raise UnsupportedError("policies are not there yet")
        with translated():
            return Context(await self._native.create_context(application, data_of(arguments, "arguments"), name, encryption))

    def inspect(self, invitation: str | bytes) -> InvitationInfo:
        """Reads an invitation. Joins nothing.

        >>> token = await context.invite("reader", note="for Ben")
        >>> info = node.inspect(token)
        >>> info.role, info.note, info.context == context.id
        ('reader', 'for Ben', True)
        """
        with translated():
            return InvitationInfo._of(self._native.inspect(_token(invitation)))

    async def join(
        self,
        invitation: str | bytes,
        *,
        timeout: float | datetime.timedelta = 60,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Context:
        """Joins a context, and returns once this node is a member and has caught up.

        If that fails, nothing of the context stays. `on_progress` is called with the numbers of transactions received and
        expected, on a thread of the node's own; it must not block, and calls of this library from there are
        `UnsupportedError`. Cancelling gives the joining up: nothing of the context stays. One that a shutdown
        interrupts goes on when the node is opened again: the context is in `contexts` with `joining` set, and its `leave` gives
        it up and deletes it.

        >>> async with kith.testing.two_nodes() as (one, other):
        ...     mine = await one.create_context(name="home")
        ...     token = await mine.invite("writer")
        ...     theirs = await other.join(token, timeout=30)
        ...     theirs.name, theirs.role
        ('home', 'writer')
        """
        progress = None if on_progress is None else _Progress(on_progress)
        with translated():
            return Context(await self._native.join(_token(invitation), milliseconds(timeout, "timeout"), progress))

    def contexts(self) -> list[ContextInfo]:
        """The contexts that this node holds.

        >>> [info.id == context.id for info in node.contexts()]
        [True]
        """
        with translated():
            return [
                ContextInfo(info.id, info.name, info.application, info.joining) for info in self._native.contexts()
            ]

    def context(self, id: bytes) -> Context:
        """A context that this node holds; `NotFoundError` if it does not.

        >>> node.context(context.id) == context
        True
        >>> node.context(bytes(32))
        Traceback (most recent call last):
        kith.NotFoundError: ...
        """
        with translated():
            return Context(self._native.context(id_of(id, "a context id")))

    async def connect(self, address: str) -> None:
        """Connects to a peer by a multiaddress with `/p2p/…`, and keeps it connected from then on.

        >>> only_here = {"listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": False}
        >>> async with await kith.Node.open(None, **only_here) as one, await kith.Node.open(None, **only_here) as other:
        ...     await one.connect(other.addresses[0])
        ...     [peer.connected for peer in (await one.status()).peers]
        [True]
        """
        with translated():
            await self._native.connect(address)

    async def shutdown(self) -> None:
        """Closes the node: finishes what was begun, closes connections and the store, releases files. Twice is fine.

        Cancelling lets it finish in the background.

        >>> await node.shutdown()
        >>> await node.create_context()
        Traceback (most recent call last):
        kith.ClosedError: ...
        """
        with translated():
            await self._native.shutdown()

    async def suspend(self, deadline: float | datetime.timedelta) -> None:
        """Puts the node to rest, for systems that stop apps in the background.

        Finishes what was begun, closes connections, sockets and the store, and gives back its files and their locks, so that another
        process may open the directory. Handles stay good and streams of events wait. Until `resume`, calls that need the
        store or the network are `ClosedError`; `contexts`, `status` and what handles know by themselves go on. Twice is fine.
        A node without a directory keeps its store in memory.

        `TimeoutError` if that is not done within `deadline` (seconds or a `timedelta`), since an application does not return
        from a call: it goes on in the background, and so it does when it is cancelled. `StorageError` if the store cannot be closed
        in order: the node is suspended all the same, and resuming opens the store anew.

        >>> await node.suspend(30)
        >>> await context.get(kith.StateKey.of("shopping", "milk"))
        Traceback (most recent call last):
        kith.ClosedError: ...
        """
        with translated():
            await self._native.suspend(milliseconds(deadline, "deadline"))

    async def resume(self) -> None:
        """Takes a suspended node up again.

        Opens the store, listens at the ports from before where they are free, and dials the known peers. A directory that
        another process has open by now is a `BusyError`, and the node stays suspended. Of a node that is not suspended nothing
        changes. Cancelling lets it finish in the background.

        >>> await node.suspend(30)
        >>> await node.resume()
        >>> await context.get(kith.StateKey.of("shopping", "milk")) is None
        True
        """
        with translated():
            await self._native.resume()

    @property
    def is_suspended(self) -> bool:
        """Whether the node is suspended, or is being so. Also true once it is shut down.

        >>> node.is_suspended
        False
        """
        return self._native.is_suspended()

    async def sync_once(self, budget: float | datetime.timedelta) -> SyncReport:
        """Catches up, for the short times in which systems let apps run in the background.

        Dials all known members' nodes at once, and returns when every context is in step with those that are reached, when
        nobody is reached, or when the budget (seconds or a `timedelta`; at most a day) is used up. A suspended node is resumed for
        it and suspended again, which may take up to 10 s more; an error of that is raised, its text says how far the round had come,
        and what is there the next one tells. Cancelling lets it finish in the background.

        >>> async with kith.testing.two_nodes() as (one, other):
        ...     mine = await one.create_context()
        ...     theirs = await other.join(await mine.invite())
        ...     report = await other.sync_once(30)
        ...     report.synced == [theirs.id], report.behind
        (True, [])
        """
        with translated():
            return SyncReport._of(await self._native.sync_once(milliseconds(budget, "budget")))

    async def change_storage_key(self, key: bytes | str) -> None:
        """Seals the directory under another key (32 bytes, or a passphrase), while everything goes on.

        At once, however much there is: only the random key that the records are sealed under is sealed anew. A crash leaves a
        directory that the old key opens, or the new one; when this has returned only the new one does, and a key file is gone.
        `UnsupportedError` for a node without a directory. Cancelling lets it finish in the background.

        Who has a copy of the directory from before and the old key reads that copy, and with the random key in it later ones:
        after a theft of both, export the directory and import it into a new one.

        >>> import os, tempfile
        >>> directory, only_here = tempfile.TemporaryDirectory(), {"listen": [], "discovery": False}
        >>> async with await kith.Node.open(directory.name, storage_key="a passphrase", **only_here) as mine:
        ...     await mine.change_storage_key(os.urandom(32))
        >>> await kith.Node.open(directory.name, storage_key="a passphrase", **only_here)
        Traceback (most recent call last):
        kith.KeyRequiredError: ...
        >>> directory.cleanup()
        """
        with translated():
            await self._native.change_storage_key(_storage_key(key))

    async def export(self, path: str | os.PathLike[str], key: bytes | str) -> Exported:
        """Exports everything to a new file that only its owner can read, sealed under `key` (32 bytes, or a passphrase).

        A backup, while the node goes on; with sled changes wait meanwhile. `import_from` makes a directory of it, which signs nothing until
        its owner says that no other does. `InvalidArgumentError` if the file is there already. Cancelling lets it finish in the
        background.

        >>> import pathlib, tempfile
        >>> place = tempfile.TemporaryDirectory()
        >>> backup = pathlib.Path(place.name, "backup")
        >>> (await node.export(backup, "a passphrase")).moved, backup.exists()
        (False, True)
        >>> place.cleanup()
        """
        with translated():
            return Exported._of(await self._native.export(_path(path), _storage_key(key)))

    @classmethod
    async def import_from(
        cls,
        file: str | os.PathLike[str],
        key: bytes | str,
        path: str | os.PathLike[str],
        *,
        storage: Literal["auto", "sled", "redb"] = "auto",
        storage_key: bytes | str | None = None,
        adopt: bool = False,
    ) -> Exported:
        """Makes a node's directory of an export that is sealed under `key`. It is there whole or not at all.

        `storage` and `storage_key` are the new directory's, as for `open`. What comes of a backup is a copy (`NodeStatus.copied`): it
        reads, catches up with what was published after the backup, and signs nothing until `adopt`, or with `adopt=True` here, which
        is right only if nothing was written after the backup: else the member's history forks, and the others remove it.

        `NotFoundError` if there is no such file, `InvalidArgumentError` if it is no export, or the directory is there and not empty;
        `KeyRequiredError` if it needs another key; `CorruptError` if anything of it is damaged; `VersionMismatchError` if a newer version
        wrote it. Cancelling lets it finish in the background.

        >>> import pathlib, tempfile
        >>> place = tempfile.TemporaryDirectory()
        >>> backup, restored = pathlib.Path(place.name, "backup"), pathlib.Path(place.name, "restored")
        >>> _ = await node.export(backup, "a passphrase")
        >>> (await kith.Node.import_from(backup, "a passphrase", restored)).moved
        False
        >>> async with await kith.Node.open(restored, listen=[], discovery=False) as copy:
        ...     (await copy.status()).copied
        True
        >>> place.cleanup()
        """
        own = None if storage_key is None else _storage_key(storage_key)
        with translated():
            done = await _native.import_node(_path(file), _storage_key(key), _path(path), storage, own, adopt)
            return Exported._of(done)

    @classmethod
    async def adopt(cls, path: str | os.PathLike[str], storage_key: bytes | str | None = None) -> None:
        """Says that a directory is the only one that signs: one that was moved, or was made of a backup.

        Only its owner can know that the directory that it was made of, and every other copy, is gone for good, and that it holds what
        was published from there; else the member's history forks, and the others remove it. `BusyError` if a node has it open,
        `NotFoundError` if no node ever was there. Cancelling lets it finish in the background.

        >>> import pathlib, tempfile
        >>> place = tempfile.TemporaryDirectory()
        >>> backup, restored = pathlib.Path(place.name, "backup"), pathlib.Path(place.name, "restored")
        >>> _ = await node.export(backup, "a passphrase")
        >>> _ = await kith.Node.import_from(backup, "a passphrase", restored)
        >>> await kith.Node.adopt(restored)
        >>> async with await kith.Node.open(restored, listen=[], discovery=False) as mine:
        ...     (await mine.status()).copied
        False
        >>> place.cleanup()
        """
        with translated():
            await _native.adopt_node(_path(path), None if storage_key is None else _storage_key(storage_key))
