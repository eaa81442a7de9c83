"""Keys of the state."""

from __future__ import annotations

import secrets

from . import _native
from ._errors import InvalidArgumentError


def data_of(value: object, what: str = "a value") -> bytes:
    """Bytes for the library, which takes nothing else (not even a view of bytes)."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise InvalidArgumentError(f"{what} is bytes, not {type(value).__name__}")


class StateKey(bytes):
    """Names an entry of a context's state: 32 bytes.

    Wherever a key is taken, a `StateKey` or any 32 bytes will do.
    """

    def __new__(cls, key: bytes) -> StateKey:
        raw = data_of(key, "a state key")
        if len(raw) != 32:
            raise InvalidArgumentError(f"a state key has 32 bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def of(cls, collection: str, name: str) -> StateKey:
        """The key of an item of a collection. All keys of a collection begin with `StateKey.collection(…)`."""
        return cls(_native.state_key_of(collection, name))

    @staticmethod
    def collection(collection: str) -> bytes:
        """The 16 bytes that the keys of a collection begin with, for `entries(prefix=…)`."""
        return bytes(_native.state_key_collection(collection))

    @classmethod
    def random(cls) -> StateKey:
        """A fresh random key."""
        return cls(secrets.token_bytes(32))

    def __repr__(self) -> str:
        return f"StateKey.fromhex({self.hex()!r})"

    def __str__(self) -> str:
        return self.hex()
