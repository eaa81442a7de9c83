"""A node's rest: suspending, resuming, syncing once; and which engine keeps its directory."""

import asyncio
import datetime
import itertools
import threading

import pytest

import kith
from kith.testing import Hub, memory_node

from test_node import LOOPBACK, equal, event_of, eventually, key

PATIENCE = 60


def here(path, **options):
    return kith.Node.open(path, listen=LOOPBACK, discovery=False, **options)


# scenario: suspended_node
async def test_a_suspended_node_gives_its_directory_back_and_goes_on_where_it_was(tmp_path):
    async with await here(tmp_path / "node") as node:
        context = await node.create_context(name="home")
        await context.put(key("before"), b"1")
        stream = await context.subscribe()
        addresses = node.addresses
        waiting = asyncio.ensure_future(event_of(stream, kith.Changed))
        assert not node.is_suspended and not (await node.status()).suspended

        await node.suspend(PATIENCE)
        await node.suspend(datetime.timedelta(seconds=PATIENCE))
        assert node.is_suspended
        for call in (
            context.put(key("x"), b"y"),
            context.get(key("before")),
            context.members(),
            context.verify(),
            node.create_context(),
            node.connect(addresses[0]),
        ):
            with pytest.raises(kith.ClosedError, match="suspended"):
                await call
        # What needs neither store nor network is there.
        assert [info.name for info in node.contexts()] == ["home"]
        status = await node.status()
        assert (status.suspended, status.peers, status.addresses) == (True, [], [])

        # The directory is free, for a node of another process or of this one.
        async with await here(tmp_path / "node") as other:
            with pytest.raises(kith.BusyError):
                await node.resume()
            assert node.is_suspended
            await other.context(context.id).put(key("theirs"), b"2")

        await node.resume()
        await node.resume()
        assert not node.is_suspended
        assert node.addresses == addresses
        # The stream has waited, and goes on with what was written meanwhile.
        assert (await waiting).keys == [key("theirs")]
        await context.put(key("after"), b"3")
        assert (await event_of(stream, kith.Changed)).keys == [key("after")]
        assert [await context.get(key(name)) for name in ("before", "theirs", "after")] == [b"1", b"2", b"3"]
    assert node.is_suspended
    for call in (node.suspend(1), node.resume(), node.sync_once(1)):
        with pytest.raises(kith.ClosedError, match="shut down"):
            await call


class Hanging(kith.Application):
    """Hangs until it is let go."""

    def __init__(self):
        self.held, self.let_go = threading.Event(), threading.Event()

    def execute(self, call, state):
        self.held.set()
        self.let_go.wait(PATIENCE)
        return b"done"


# scenario: suspension_in_time
async def test_an_application_that_hangs_holds_the_suspension_up_but_not_its_caller():
    async with await memory_node() as node:
        application = Hanging()
        node.register("hanging", application)
        context = await node.create_context("hanging")
        calling = asyncio.ensure_future(context.execute("hang"))
        await asyncio.to_thread(application.held.wait, PATIENCE)
        with pytest.raises(kith.TimeoutError, match="goes on in the background"):
            await node.suspend(0.1)
        with pytest.raises(kith.ClosedError, match="suspended"):
            await context.execute("hang")
        application.let_go.set()
        # What had begun is finished, and resuming waits for that.
        assert (await calling).output == b"done"
        await node.resume()
        assert (await context.execute("hang")).output == b"done"


# scenario: syncing_once
async def test_syncing_once_brings_what_others_wrote():
    hub = Hub()
    async with await memory_node(hub) as one, await memory_node(hub) as other:
        mine = await one.create_context()
        theirs = await other.join(await mine.invite())
        await other.suspend(PATIENCE)
        await mine.put(key("while"), b"you slept")
        report = await other.sync_once(PATIENCE)
        assert (report.peers, report.synced, report.behind) == (1, [theirs.id], [])
        assert other.is_suspended
        await other.resume()
        assert await theirs.get(key("while")) == b"you slept"
        # Nobody is there: the budget is not waited for.
        await one.shutdown()
        report = await other.sync_once(datetime.timedelta(days=2))
        assert (report.peers, report.synced, report.behind) == (0, [], [theirs.id])
        assert not other.is_suspended
        with pytest.raises(kith.InvalidArgumentError, match="budget is -1"):
            await other.sync_once(-1)
        with pytest.raises(kith.InvalidArgumentError, match="deadline is -1"):
            await other.suspend(-1)


async def test_a_hundred_suspensions_in_mid_write_lose_nothing_that_was_acknowledged(tmp_path):
    async with await kith.Node.open(tmp_path / "node", listen=[], discovery=False) as node:
        context = await node.create_context()
        acknowledged, refused, ended = [], 0, asyncio.Event()

        async def write(writer):
            nonlocal refused
            for number in itertools.count():
                if ended.is_set():
                    return
                name = key(f"{writer}/{number}")
                try:
                    await context.put(name, b"x")
                    acknowledged.append(name)
                except kith.ClosedError:
                    refused += 1
                    await asyncio.sleep(0)

        stream = await context.subscribe()
        writers = [asyncio.ensure_future(write(writer)) for writer in range(4)]
        for _ in range(100):
            # Some of it is written each time.
            await event_of(stream, kith.Changed)
            await node.suspend(PATIENCE)
            await node.resume()
        ended.set()
        await asyncio.gather(*writers)
        held = {entry.key async for entry in context.all_entries()}
        assert len(acknowledged) >= 100 and set(acknowledged) <= held and refused > 0
        assert (await context.verify()).difference is None


async def test_a_hundred_suspensions_in_mid_catch_up_end_in_step():
    hub = Hub()
    async with await memory_node(hub) as one, await memory_node(hub) as other:
        mine = await one.create_context()
        theirs = await other.join(await mine.invite())
        interrupted = rounds = 0
        while interrupted < 100:
            rounds += 1
            assert rounds <= 1000, f"catch-up was over before the suspension but for {interrupted} times"
            await other.suspend(PATIENCE)
            for each in range(5):
                await mine.put(key(f"{rounds}/{each}"), bytes(2000))
            whole = (await mine.status()).digest
            stream = await theirs.subscribe()
            await other.resume()
            # As soon as there is somebody to catch up with.
            await event_of(stream, kith.PeerConnected)
            await other.suspend(PATIENCE)
            # What it has is looked at while there is nobody to get more from.
            await one.suspend(PATIENCE)
            await other.resume()
            interrupted += (await theirs.status()).digest != whole
            await one.resume()
        await equal(mine, theirs)
        assert len([entry async for entry in theirs.all_entries()]) == 5 * rounds
        assert (await theirs.verify()).difference is None


async def test_a_cancelled_suspension_goes_on(tmp_path):
    async with await here(tmp_path / "node") as node:
        suspending = asyncio.ensure_future(node.suspend(PATIENCE))
        await asyncio.sleep(0)
        suspending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await suspending

        async def suspended():
            return node.is_suspended

        await eventually(suspended, "the node is suspended")
        await node.resume()
        await node.create_context()


# scenario: storage_engine
@pytest.mark.parametrize(("own", "other"), [("sled", "redb"), ("redb", "sled")])
async def test_a_directory_keeps_its_engine(tmp_path, own, other):
    async with await here(tmp_path / "node", storage=own) as node:
        context = await node.create_context()
        await context.put(key("x"), b"y")
        assert (await node.status()).storage == own
    with pytest.raises(kith.InvalidArgumentError, match="sled.*redb|redb.*sled"):
        await here(tmp_path / "node", storage=other)
    async with await here(tmp_path / "node") as node:
        assert (await node.status()).storage == own
        assert await node.context(context.id).get(key("x")) == b"y"


async def test_an_engine_that_is_none_is_named(tmp_path):
    with pytest.raises(kith.InvalidArgumentError, match="`magic` is no storage engine"):
        await here(tmp_path / "node", storage="magic")
    assert not (tmp_path / "node").exists()
    async with await memory_node() as node:
        assert (await node.status()).storage is None
