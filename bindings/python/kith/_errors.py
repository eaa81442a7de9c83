"""What went wrong: one exception class for each kind."""

from __future__ import annotations

import builtins
import contextlib
import enum
import threading
from collections.abc import Iterator
from typing import Any

from . import _native

# The generated module hangs the variants onto this class at run time, where a type checker does not see them.
_Failure: Any = _native.Failure

__all__ = [
    "ApplicationMissingError",
    "BlockedError",
    "BusyError",
    "CancelledError",
    "ClosedError",
    "CorruptError",
    "CursorExpiredError",
    "EquivocationError",
    "ErrorKind",
    "InternalError",
    "InvalidArgumentError",
    "InvitationExpiredError",
    "InvitationInvalidError",
    "InvitationRevokedError",
    "InvitationUsedError",
    "KeyRequiredError",
    "KithError",
    "LimitExceededError",
    "NotFoundError",
    "NotMemberError",
    "PermissionDeniedError",
    "RejectedError",
    "StorageError",
    "StorageFullError",
    "TimeoutError",
    "UnreachableError",
    "UnsupportedError",
    "VersionMismatchError",
]


class ErrorKind(enum.IntEnum):
    """The kinds of failure: the same names and numbers in every language."""

    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    NOT_MEMBER = 3
    PERMISSION_DENIED = 4
    REJECTED = 5
    INVITATION_INVALID = 6
    INVITATION_EXPIRED = 7
    INVITATION_USED = 8
    INVITATION_REVOKED = 9
    UNREACHABLE = 10
    TIMEOUT = 11
    CLOSED = 12
    BUSY = 13
    STORAGE = 14
    CORRUPT = 15
    VERSION_MISMATCH = 16
    UNSUPPORTED = 17
    EQUIVOCATION = 18
    CANCELLED = 19
    BLOCKED = 20
    STORAGE_FULL = 21
    KEY_REQUIRED = 22
    LIMIT_EXCEEDED = 23
    CURSOR_EXPIRED = 24
    APPLICATION_MISSING = 25
    INTERNAL = 26


class KithError(Exception):
    """A failed call. Its subclasses are the kinds; `str()` of it is for people."""

    kind: ErrorKind = ErrorKind.INTERNAL


class InvalidArgumentError(KithError, ValueError):
    """An argument has the wrong shape or size; the message says which."""

    kind = ErrorKind.INVALID_ARGUMENT


class NotFoundError(KithError):
    """The thing that was named does not exist."""

    kind = ErrorKind.NOT_FOUND


class NotMemberError(KithError):
    """The caller, or the member that was named, is no member of the context."""

    kind = ErrorKind.NOT_MEMBER


class PermissionDeniedError(KithError):
    """The member's role does not allow this."""

    kind = ErrorKind.PERMISSION_DENIED


class RejectedError(KithError):
    """The application refused the call."""

    kind = ErrorKind.REJECTED


class InvitationInvalidError(KithError):
    """The invitation is damaged, or is not for this."""

    kind = ErrorKind.INVITATION_INVALID


class InvitationExpiredError(KithError):
    """The invitation's time is over."""

    kind = ErrorKind.INVITATION_EXPIRED


class InvitationUsedError(KithError):
    """The invitation's uses are used up."""

    kind = ErrorKind.INVITATION_USED


class InvitationRevokedError(KithError):
    """An admin has revoked the invitation."""

    kind = ErrorKind.INVITATION_REVOKED


class UnreachableError(KithError):
    """No peer that could answer was reached."""

    kind = ErrorKind.UNREACHABLE


class TimeoutError(KithError, builtins.TimeoutError):
    """It took longer than the caller allowed."""

    kind = ErrorKind.TIMEOUT


class ClosedError(KithError):
    """The node, context or stream has been closed."""

    kind = ErrorKind.CLOSED


class BusyError(KithError):
    """Somebody else holds what is needed (another process has the directory), or a queue is full."""

    kind = ErrorKind.BUSY


class StorageError(KithError):
    """The store failed; the message has the cause."""

    kind = ErrorKind.STORAGE


class CorruptError(KithError):
    """Stored data does not verify."""

    kind = ErrorKind.CORRUPT


class VersionMismatchError(KithError):
    """Two sides, or the store and this library, do not speak the same version."""

    kind = ErrorKind.VERSION_MISMATCH


class UnsupportedError(KithError):
    """This version cannot do that."""

    kind = ErrorKind.UNSUPPORTED


class EquivocationError(KithError):
    """A member has signed two histories."""

    kind = ErrorKind.EQUIVOCATION


class CancelledError(KithError):
    """The caller cancelled."""

    kind = ErrorKind.CANCELLED


class BlockedError(KithError):
    """Applying stands still after a local fault; the message has the cause."""

    kind = ErrorKind.BLOCKED


class StorageFullError(KithError):
    """No space is left where the store lives."""

    kind = ErrorKind.STORAGE_FULL


class KeyRequiredError(KithError):
    """The store is sealed and the key is missing or wrong."""

    kind = ErrorKind.KEY_REQUIRED


class LimitExceededError(KithError):
    """A limit was passed; the message says which."""

    kind = ErrorKind.LIMIT_EXCEEDED


class CursorExpiredError(KithError):
    """The cursor is older than what is kept."""

    kind = ErrorKind.CURSOR_EXPIRED


class ApplicationMissingError(KithError):
    """The host has not registered the application of this context."""

    kind = ErrorKind.APPLICATION_MISSING


class InternalError(KithError):
    """A defect in Kith."""

    kind = ErrorKind.INTERNAL


_CLASSES: dict[int, type[KithError]] = {cls.kind: cls for cls in KithError.__subclasses__()}


def error_of(kind: int, message: str) -> KithError:
    """The exception for a kind's number."""
    return _CLASSES.get(kind, InternalError)(message)


class _Callback(threading.local):
    """Which callback of the library's this thread is in."""

    name: str | None = None


_callback = _Callback()


@contextlib.contextmanager
def inside(callback: str) -> Iterator[None]:
    """Held while the library calls the host: what needs the library's answer would wait for itself."""
    before, _callback.name = _callback.name, callback
    try:
        yield
    finally:
        _callback.name = before


def refuse_inside() -> None:
    """Raises if this thread is in a callback of the library's."""
    if _callback.name is not None:
        raise UnsupportedError(f"this may not be called from inside {_callback.name}")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns the failures of the generated module into the exceptions of this one."""
    refuse_inside()
    try:
        yield
    except _Failure.Failed as failure:
        raise error_of(failure.kind, failure.message) from None
    except _native.InternalError as defect:
        raise InternalError(str(defect)) from None
