"""A program that uses the package, for type checkers: what it gets has the types it says, with asyncio and without. Not run.

What is wrong on purpose is marked, and a mark that nothing is wrong at is an error: the control.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from typing_extensions import assert_type

import kith
import kith.sync
import kith.sync.testing
import kith.testing

KEY = kith.StateKey.of("shopping", "milk")


async def asynchronous() -> None:
    async with await kith.Node.open(None, listen=[], discovery=False) as node:
        assert_type(node, kith.Node)
        context = await node.create_context("kv", name="home")
        assert_type(context, kith.Context)
        assert_type(await context.get(KEY), "bytes | None")
        assert_type(await context.put(KEY, b"2 litres"), bytes)
        assert_type(await context.entries(limit=3), "list[kith.Entry]")
        assert_type(context.events(), "AsyncIterator[kith.Event]")
        assert_type(await (await context.subscribe()).next(timeout=1), kith.Event)
        assert_type((await context.security()).epoch, "bytes | None")
        assert_type((await node.status()).relays, "list[kith.Relay]")
        assert_type(await kith.Node.import_from("export", b"key", "node", storage_key="words"), kith.Exported)
        await node.create_context(encryption="rot13")  # type: ignore[arg-type]
        await context.put("milk", b"2 litres")  # type: ignore[arg-type]
        await context.entries(limit="3")  # type: ignore[arg-type]
    async with kith.testing.two_members() as (mine, theirs):
        assert_type(theirs, kith.Context)
        await mine.set_role(theirs.me, "emperor")  # type: ignore[arg-type]


def blocking() -> None:
    with kith.sync.Node.open(None, listen=[], discovery=False) as node:
        assert_type(node, kith.sync.Node)
        context = node.create_context("kv", name="home")
        assert_type(context, kith.sync.Context)
        assert_type(context.get(KEY), "bytes | None")
        assert_type(context.put(KEY, b"2 litres"), bytes)
        assert_type(context.entries(limit=3), "list[kith.Entry]")
        assert_type(context.events(), "Iterator[kith.Event]")
        assert_type(context.subscribe().next(timeout=1), kith.Event)
        assert_type((context.security()).suite, kith.Encryption)
        assert_type(kith.sync.Node.import_from("export", b"key", "node", storage_key="words"), kith.Exported)
        node.create_context(encryption="rot13")  # type: ignore[arg-type]
        for event in context.subscribe():
            assert_type(event, kith.Event)
        context.put("milk", b"2 litres")  # type: ignore[arg-type]
        context.entries(limit="3")  # type: ignore[arg-type]
    with kith.sync.testing.two_members() as (mine, theirs):
        assert_type(theirs, kith.sync.Context)
        mine.set_role(theirs.me, "emperor")  # type: ignore[arg-type]


async def generator(context: kith.Context) -> AsyncIterator[kith.Entry]:
    async for entry in context.all_entries():
        yield entry


def iterator(context: kith.sync.Context) -> Iterator[kith.Entry]:
    yield from context.all_entries()
