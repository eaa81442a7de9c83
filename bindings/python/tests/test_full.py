"""Somebody else fills the disk under a node: on a small one of the tests' own, which ``cargo xtask test`` mounts and names."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

import kith

from test_node import LOOPBACK, key

DISK = os.environ.get("KITH_TEST_SMALL_DISK")


def here(path):
    return kith.Node.open(path, listen=LOOPBACK, discovery=False)


def fill(path):
    """Takes all the room that there is. A disk with more than a gigabyte is not meant."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError) as full:
        for _ in range(1024):
            file.write(bytes(1 << 20))
    assert full.value.errno == errno.ENOSPC


async def is_whole(context):
    """All is there that was acknowledged before the disk was full, nothing that was refused, and what is kept is what the history gives."""
    assert await context.get(key("before")) == b"acknowledged"
    assert await context.get(key("refused")) is None
    assert (await context.verify()).difference is None


# scenario: disk_full
@pytest.mark.skipif(DISK is None, reason="KITH_TEST_SMALL_DISK names no small disk")
async def test_a_full_disk_is_named_and_costs_nothing():
    with tempfile.TemporaryDirectory(dir=DISK) as place:
        folder = Path(place)
        async with await here(folder / "node") as node:
            context = await node.create_context()
            await context.put(key("before"), b"acknowledged")
            assert await context.add(key("counted"), 1) == 1

            fill(folder / "filler")
            with pytest.raises(kith.StorageFullError, match="free space"):
                await context.put(key("refused"), b"x")
            for call in (context.add(key("counted"), 1), node.create_context(), here(folder / "another")):
                with pytest.raises(kith.StorageFullError):
                    await call
            await is_whole(context)

            (folder / "filler").unlink()
            await context.put(key("after"), b"room again")
            assert await context.add(key("counted"), 1) == 2
        async with await here(folder / "node") as node:
            context = node.context(context.id)
            await is_whole(context)
            assert await context.get(key("after")) == b"room again"
            assert await context.add(key("counted"), 1) == 3
