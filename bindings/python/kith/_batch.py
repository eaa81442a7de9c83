"""Several operations of the `kv` application at once."""

from __future__ import annotations

from typing import Any

from . import _native
from ._errors import InvalidArgumentError
from ._keys import StateKey, data_of

# The generated module hangs the variants onto this class at run time, where a type checker does not see them.
_Operation: Any = _native.Operation


def optional(value: bytes | None) -> bytes | None:
    return None if value is None else data_of(value)


def number_of(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise InvalidArgumentError(f"{number} does not fit into a signed 64-bit number")
    return number


class Batch:
    """Several operations for `Context.batch`, carried out together: all or none.

    >>> milk, count = kith.StateKey.of("shopping", "milk"), kith.StateKey.of("shopping", "count")
    >>> _ = await context.batch(kith.Batch().put(milk, b"2 litres").add(count, 1))
    >>> [entry.value for entry in await context.entries(kith.StateKey.collection("shopping"))] != []
    True
    """

    def __init__(self) -> None:
        self._operations: list[Any] = []

    def put(self, key: bytes, value: bytes) -> Batch:
        """Sets a key to a value."""
        return self._with(_Operation.PUT(StateKey(key), data_of(value)))

    def delete(self, key: bytes) -> Batch:
        """Removes a key."""
        return self._with(_Operation.DELETE(StateKey(key)))

    def add(self, key: bytes, number: int) -> Batch:
        """Adds to a counter."""
        return self._with(_Operation.ADD(StateKey(key), number_of(number)))

    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes | None) -> Batch:
        """Sets or removes a key if its value is the expected one; else the whole batch is rejected."""
        return self._with(_Operation.COMPARE_AND_SET(StateKey(key), optional(expected), optional(value)))

    def append(self, key: bytes, data: bytes) -> Batch:
        """Appends to a value."""
        return self._with(_Operation.APPEND(StateKey(key), data_of(data)))

    def _with(self, operation: Any) -> Batch:
        self._operations.append(operation)
        return self
