"""Keys of the state, and how other arguments are taken."""

from __future__ import annotations

import datetime
import secrets

from . import _native
from ._errors import InvalidArgumentError


def data_of(value: object, what: str = "a value") -> bytes:
    """Bytes for the library, which takes nothing else (not even a view of bytes)."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise InvalidArgumentError(f"{what} is bytes, not {type(value).__name__}")


def milliseconds(time: float | datetime.timedelta, what: str) -> int:
    """A time in seconds, or a `timedelta`, as the library takes it."""
    seconds = time.total_seconds() if isinstance(time, datetime.timedelta) else float(time)
    if not 0 <= seconds <= 1e12:
        raise InvalidArgumentError(f"{what} is {time}")
    return int(seconds * 1000)


def id_of(id: bytes, what: str) -> bytes:
    """An id of 32 bytes."""
    raw = data_of(id, what)
    if len(raw) != 32:
        raise InvalidArgumentError(f"{what} has 32 bytes, not {len(raw)}")
    return raw


def limit_of(limit: int) -> int:
    """How many are asked for."""
    if not 0 <= limit < 2**32:
        raise InvalidArgumentError(f"limit is {limit}")
    return limit


class StateKey(bytes):
    """Names an entry of a context's state: 32 bytes.

    Wherever a key is taken, a `StateKey` or any 32 bytes will do.

    >>> kith.StateKey(bytes(32)) == bytes(32)
    True
    >>> kith.StateKey(b"short")
    Traceback (most recent call last):
    kith.InvalidArgumentError: a state key has 32 bytes, not 5
    """

    def __new__(cls, key: bytes) -> StateKey:
        raw = data_of(key, "a state key")
        if len(raw) != 32:
            raise InvalidArgumentError(f"a state key has 32 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def _known(cls, key: bytes) -> StateKey:
        """One that comes from the library."""
        return super().__new__(cls, key)

    @classmethod
    def of(cls, collection: str, name: str) -> StateKey:
        """The key of an item of a collection. All keys of a collection begin with `StateKey.collection(…)`.

        >>> kith.StateKey.of("shopping", "milk").startswith(kith.StateKey.collection("shopping"))
        True
        """
        return cls(_native.state_key_of(collection, name))

    @staticmethod
    def collection(collection: str) -> bytes:
        """The 16 bytes that the keys of a collection begin with, for `entries(prefix=…)`.

        >>> len(kith.StateKey.collection("shopping"))
        16
        """
        return bytes(_native.state_key_collection(collection))

    @classmethod
    def random(cls) -> StateKey:
        """A fresh random key.

        >>> kith.StateKey.random() == kith.StateKey.random()
        False
        """
        return cls(secrets.token_bytes(32))

    def __repr__(self) -> str:
        return f"StateKey.fromhex({self.hex()!r})"

    def __str__(self) -> str:
        return self.hex()
