"""What the library logs goes to the logger "kith" of Python's `logging`, and to its children by the part that says it."""

from __future__ import annotations

import logging
import threading

from . import _native
from ._errors import UnsupportedError, inside, translated
from ._fork import is_forked

LOGGER = logging.getLogger("kith")
# A library leaves it to the program where its records go.
LOGGER.addHandler(logging.NullHandler())

_TRACE = 5
_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": _TRACE,
}


class _Sink(_native.LogSink):
    def log(self, record: _native.LogRecord) -> None:
        with inside("a log handler"):
            # "kith_core::node::switchboard" is "kith.node.switchboard" here.
            name = ".".join(["kith", *record.target.split("::")[1:]])
            logger = logging.getLogger(name)
            level = _LEVELS.get(record.level, logging.WARNING)
            if not logger.isEnabledFor(level):
                return
            made = logger.makeRecord(name, level, "(kith)", 0, record.message, (), None)
            made.threadName = record.thread
            logger.handle(made)


_sink = _Sink()
_lock = threading.Lock()
_begun = False


def set_log_level(level: str) -> None:
    """What the library logs, for the whole process: "off", "error", "warn" (at first), "info", "debug" or "trace".

    What is below that is dropped in the library and costs nothing. The rest goes to the logger "kith" and its children on a
    thread of the library's own, where `logging` filters further; so a handler that is slow holds up nobody, and what it is
    too slow for is dropped and counted. Handlers must not call this library (`UnsupportedError`).

    >>> kith.set_log_level("off")
    >>> kith.set_log_level("warn")
    """
    global _begun
    if is_forked() and _begun:
        raise UnsupportedError("in a forked process the library logs nothing")
    with translated(), _lock:
        _native.set_log(level, _sink)
        _begun = True


def begin(level: str | None) -> None:
    """Lets the records come, at the level that is given or else was set before."""
    if is_forked() and _begun:
        return
    if level is not None or not _begun:
        set_log_level("warn" if level is None else level)
