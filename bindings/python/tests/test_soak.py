"""The same things again and again, through Python: heap, objects, threads and file handles stay where they were.

A short form here; `cargo xtask soak python` has the long one.
"""

import asyncio
import os
import sys
import threading

import pytest

import kith
from kith.testing import ApplicationBench, Hub, memory_node, two_nodes

from test_node import event_of, eventually, key
from usage import Usage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is used is read from Linux and glibc")

LONG = "KITH_SOAK" in os.environ
MIB = 1 << 20
KIB = 1 << 10


def times(short, long=100_000):
    return long if LONG else short


class Picky(kith.Application):
    """Has a state of one entry, and refuses half of what it is asked."""

    def execute(self, call, state):
        seen = state.get(key("seen")) or b""
        state.put(key("seen"), bytes(len(seen)))
        if call.method == "refuse":
            raise ValueError("no")
        return call.arguments

    def query(self, method, arguments, state):
        return b"".join(entry[1] for entry in state.entries(limit=10)) + arguments


class Waiting:
    """A thread that waits to be let go."""

    def __init__(self):
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.done.wait)
        self.thread.start()

    def close(self):
        self.done.set()
        self.thread.join()


def test_what_stays_is_seen():
    """The control: each measure fails for a leak of its kind."""
    generous = {"heap": MIB, "blocks": 1_000_000, "handles": 1_000, "threads": 1_000}
    for leak, count, strict, words in (
        (lambda: ApplicationBench(Picky()), 300, {"heap": 32 * KIB}, "bytes stayed on the heap"),
        (lambda: [object() for _ in range(100)], 100, {"blocks": 2_000}, "Python blocks stayed"),
        (lambda: open(os.devnull, "rb"), 10, {"handles": 2}, "file handles, then"),
        (Waiting, 10, {"threads": 8}, "threads, then"),
    ):
        before = Usage()
        kept = [leak() for _ in range(count)]
        try:
            with pytest.raises(AssertionError, match=words):
                before.check("leaks", count, **{**generous, **strict})
        finally:
            for held in kept:
                if hasattr(held, "close"):
                    held.close()


async def test_reads_and_failures_leave_nothing():
    async with await memory_node() as node:
        context = await node.create_context()
        await context.put(key("one"), bytes(1000))

        async def calls(count):
            for _ in range(count):
                assert len(await context.get(key("one"))) == 1000
                assert len(await context.entries()) == 1
                assert node.context(context.id) == context
            for _ in range(count // 10):
                await context.status(), await context.members(), await context.history(limit=3), await node.status()
                with pytest.raises(kith.RejectedError):
                    await context.compare_and_set(key("one"), b"other", b"new")
                with pytest.raises(kith.InvalidArgumentError):
                    await context.put(b"short", b"value")
                with pytest.raises(kith.InvitationInvalidError):
                    node.inspect("kith1nonsense")

        await calls(300)
        before, count = Usage(), times(1_500)
        await calls(count)
        before.check("reads and failures", count, heap=192 * KIB)


async def test_cancelled_calls_leave_nothing():
    async with await memory_node() as node:
        context = await node.create_context()
        events = await context.subscribe()

        async def cancelled(count):
            for number in range(count):
                waiting = events.next() if number % 2 else context.get(key("one"))
                task = asyncio.create_task(waiting)
                await asyncio.sleep(0)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    continue
            # The last ones may still be on their way out.
            await context.status()

        # What is cancelled at once is still looked up by the pool's threads, so their number has a high-water mark: as many
        # as will come go first.
        count = times(2_000)
        await cancelled(count)
        before = Usage()
        await cancelled(count)
        before.check("cancelled calls", count, heap=192 * KIB, threads=48)


async def test_an_answer_that_is_there_when_its_call_is_cancelled_is_let_go(monkeypatch):
    """The generated code alone would keep it: see `changed` in build/kith_build.py. A call is told of its answer in the task that
    polls for it, so that there is no moment between the two any more; if there were one, the answer would be taken."""
    async with await memory_node() as node:
        context = await node.create_context()
        await context.put(key("large"), bytes(64 * KIB))
        told, tasks = kith._native._uniffi_set_future_result, set()

        def tell_and_cancel(future, poll_code):
            told(future, poll_code)
            if poll_code == kith._native._UNIFFI_RUST_FUTURE_POLL_READY:
                # The task is to go on with its answer.
                for task in tasks:
                    assert task.cancel()

        monkeypatch.setattr(kith._native, "_uniffi_set_future_result", tell_and_cancel)

        async def cancelled(count, call):
            for _ in range(count):
                task = asyncio.create_task(call())
                tasks.add(task)
                # Who is cancelled with the answer in its hands and fails because of it has failed.
                with pytest.raises((asyncio.CancelledError, kith.RejectedError)):
                    await task
                tasks.clear()

        for what, call in (
            ("values", lambda: context.get(key("large"))),
            ("streams", context.subscribe),
            ("failures", lambda: context.compare_and_set(key("large"), b"other", b"new")),
        ):
            await cancelled(20, call)
            before, count = Usage(), times(200, 5_000)
            await cancelled(count, call)
            before.check(f"{what} that come with their cancellation", count, heap=128 * KIB)


async def test_subscriptions_leave_nothing(tmp_path):
    loopback = {"listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": False}
    async with await kith.Node.open(tmp_path, durability="process", event_retention=50, **loopback) as node:
        context = await node.create_context()

        async def subscriptions(count):
            for number in range(count):
                stream = await context.subscribe()
                if number % 200 == 0:
                    # One of them is used, and dropped in the middle of it.
                    await context.put(key("seen"), number.to_bytes(8, "little"))
                    await event_of(stream, kith.Executed)

        await subscriptions(1_000)
        before, count = Usage(), times(2_000)
        await subscriptions(count)
        # The store's cache holds what was written meanwhile.
        before.check("subscriptions", count, heap=MIB + count // 200 * 16 * KIB)


async def test_rounds_with_a_host_application_leave_nothing():
    bench = ApplicationBench(Picky())

    def on_the_bench(count):
        for number in range(count):
            assert bench.execute("keep", bytes(100)) == bytes(100)
            if number % 10 == 0:
                with pytest.raises(kith.RejectedError):
                    bench.execute("refuse", bytes(100))

    async with await memory_node() as node:
        node.register("picky", Picky())
        context = await node.create_context("picky")
        await context.execute("keep")

        async def through_a_node(count):
            for _ in range(count):
                # What is refused is executed like any other call, and not kept.
                with pytest.raises(kith.RejectedError):
                    await context.execute("refuse", bytes(100))
                await context.query("all", bytes(100))

        on_the_bench(300)
        await through_a_node(300)
        before, count = Usage(), times(2_000)
        on_the_bench(count)
        before.check("rounds on the bench", count, heap=64 * KIB)
        before, count = Usage(), times(1_000)
        await through_a_node(count)
        before.check("rounds through a node", count, heap=192 * KIB)


async def test_applications_and_log_sinks_that_are_replaced_are_let_go():
    def replace(count):
        for number in range(count):
            ApplicationBench(Picky()).execute("keep")
            if number % 10 == 0:
                kith.set_log_level("warn")

    replace(200)
    before, count = Usage(), times(1_000)
    replace(count)
    before.check("applications", count, heap=64 * KIB)


async def test_writes_cost_what_the_store_keeps_and_nothing_more(tmp_path):
    loopback = {"listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": False}
    async with await kith.Node.open(tmp_path, durability="process", event_retention=50, **loopback) as node:
        context = await node.create_context()

        async def writes(count):
            for number in range(count):
                await context.put(key(str(number % 100)), number.to_bytes(8, "little"))

        await writes(times(300, 20_000))
        before, count = Usage(), times(1_000)
        await writes(count)
        # The store's cache may fill up to what it is allowed, whatever the number.
        before.check("writes", count, heap=(96 if LONG else 16) * MIB, handles=8)


async def test_nodes_leave_nothing():
    hub = Hub()

    async def open_and_close(count):
        for _ in range(count):
            async with await memory_node(hub) as node:
                await node.create_context()

    await open_and_close(5)
    before, count = Usage(), times(15)
    await open_and_close(count)
    before.check("nodes opened and closed", count, heap=256 * KIB + count * 64)


async def test_joins_and_leaves_leave_only_their_history():
    async with two_nodes(Hub()) as (one, other):
        mine = await one.create_context()

        async def joins_and_leaves(count):
            for _ in range(count):
                theirs = await other.join(await mine.invite())
                await theirs.put(key("joined"), b"and left")
                await theirs.leave()

        async def alone():
            return len(await mine.members()) == 1

        await joins_and_leaves(10)
        before, count = Usage(), times(20, 300)
        await joins_and_leaves(count)
        await eventually(alone, "the last one is gone")
        assert other.contexts() == []
        # Beside the history: what was judged of up to 64 parts of it is kept at hand, and the keys of up to 32 epochs.
        before.check("joins and leaves", count, heap=MIB + count * 32 * KIB)
