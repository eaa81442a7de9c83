"""`python -m kith`: which library this is, where it keeps data, and whether it works here."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import traceback
from pathlib import Path

from . import Changed, StateKey, _native, default_directory, version
from .testing import Hub, two_members


async def self_check() -> None:
    """Two nodes in memory share a context, and end equal."""
    key = StateKey.of("check", "self")
    async with two_members(hub=Hub()) as (mine, theirs):
        events = await theirs.subscribe()
        await mine.put(key, b"hello")
        while await theirs.get(key) != b"hello":
            while not isinstance(await events.next(timeout=30), Changed):
                pass
        if await mine.commitment() != await theirs.commitment():
            raise AssertionError("the two members hold different states")


def library_path() -> str:
    """Where the library lies that this package has loaded."""
    return str(next(Path(_native.__file__).parent.glob("*kith_uniffi*")))


def main(arguments: list[str] | None = None) -> int:
    """Prints, checks; 0 if all is well."""
    parser = argparse.ArgumentParser("python -m kith", description="Prints what this installation is, and checks it.")
    parser.add_argument("--name", default="kith", help="the program whose default data directory is printed")
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    print(f"kith {version()} (Python {sys.version.split()[0]}, {sys.platform})")
    print(f"library: {library_path()}")
    print(f"default data directory of {options.name!r}: {default_directory(options.name)}")
    if options.no_check:
        return 0
    begun = time.monotonic()
    try:
        asyncio.run(self_check())
    except Exception:
        traceback.print_exc()
        print("self-check: FAILED")
        return 1
    print(f"self-check: ok, two nodes in memory shared a context ({time.monotonic() - begun:.2f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
