"""What happens at the border: processes that fork, threads that end (docs/border.md)."""

import asyncio
import struct
import sys
import threading
from pathlib import Path

import pytest

import kith
from kith import _native
from kith._errors import translated
from kith.testing import memory_node

from test_node import LOOPBACK, key

FORKING = """
import asyncio, gc, os, signal, sys, threading
import kith

KEY = kith.StateKey.of("test", "x")

async def refused(call):
    try:
        await call
    except kith.UnsupportedError as error:
        return "forked" in str(error)
    return False

async def child(node, context):
    calls = [context.get(KEY), context.put(KEY, b"child"), context.subscribe(), node.status(), node.shutdown(),
             kith.Node.open(None), context.wait_synced(1000)]
    return all([await refused(call) for call in calls])

async def main():
    node = await kith.Node.open(sys.argv[1], listen=["/ip4/127.0.0.1/tcp/0"], discovery=False)
    context = await node.create_context()
    await context.put(KEY, b"before")
    pid = os.fork()
    if pid == 0:
        # In a thread, whose loop has nothing in common with the parent's.
        signal.alarm(30)
        good = []
        thread = threading.Thread(target=lambda: good.append(asyncio.run(child(node, context))))
        thread.start()
        thread.join()
        del node, context
        gc.collect()
        os._exit(0 if good == [True] else 1)
    await context.put(KEY, b"after")
    loop = asyncio.get_running_loop()
    _, status = await loop.run_in_executor(None, os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    await node.shutdown()

asyncio.run(main())
print("ended")
"""


async def test_a_forked_process_has_no_node_and_harms_none(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", FORKING, str(tmp_path / "node"), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert (process.returncode, output) == (0, b"ended\n")
    async with await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False) as node:
        assert await node.context(node.contexts()[0].id).get(kith.StateKey.of("test", "x")) == b"after"


async def test_loops_of_several_threads_share_a_node_and_may_end_in_mid_call():
    async with await memory_node() as node:
        context = await node.create_context()
        wanted = []

        async def write_and_leave(number):
            await context.put(key(str(number)), b"x")
            # Begun, and nobody waits: the loop ends with its thread.
            asyncio.ensure_future(context.put(key(f"left {number}"), b"x"))
            await asyncio.sleep(0)

        def thread(number):
            try:
                asyncio.run(write_and_leave(number))
            except BaseException as error:
                wanted.append(error)

        threads = [threading.Thread(target=thread, args=(number,)) for number in range(16)]
        for one in threads:
            one.start()
        for one in threads:
            await asyncio.get_running_loop().run_in_executor(None, one.join)
        assert wanted == []
        await context.put(key("last"), b"x")
        entries = [entry async for entry in context.all_entries()]
        assert 17 <= len(entries) <= 33


async def test_many_nodes_in_one_process_have_nothing_in_common():
    nodes = [await memory_node() for _ in range(8)]
    contexts = [await node.create_context(name=str(number)) for number, node in enumerate(nodes)]
    for number, context in enumerate(contexts):
        await context.put(key("x"), str(number).encode())
    for node in nodes[::2]:
        await node.shutdown()
    for number, context in enumerate(contexts):
        if number % 2:
            assert await context.get(key("x")) == str(number).encode()
        else:
            with pytest.raises(kith.ClosedError):
                await context.get(key("x"))
    for node in nodes:
        await node.shutdown()


# scenario: panic_in_the_library
async def test_a_panic_in_the_library_is_an_error_and_the_node_goes_on():
    async with await memory_node() as node:
        context = await node.create_context()
        writes = [asyncio.ensure_future(context.add(key("n"), 1)) for _ in range(20)]
        for number in range(5):
            with pytest.raises(kith.InternalError, match=f"^on purpose {number}$"), translated():
                _native.provoke_panic(f"on purpose {number}")
            with pytest.raises(kith.InternalError, match=f"^ä {number}$"), translated():
                await _native.provoke_panic_later(f"ä {number}")
        assert set(await asyncio.gather(*writes)) == set(range(1, 21))
        assert await context.add(key("n"), 1) == 21


def without_the_flag(library, copy):
    """A copy of a library that leaves the process when it is closed: without DF_1_NODELETE in DT_FLAGS_1."""
    data = bytearray(Path(library).read_bytes())
    (headers,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    for header in range(headers, headers + size * count, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, header)
        for entry in range(offset, offset + length, 16) if kind == 2 else ():
            tag, flags = struct.unpack_from("<QQ", data, entry)
            if tag == 0x6FFFFFFB:
                assert flags & 8
                struct.pack_into("<Q", data, entry + 8, flags & ~8)
                copy.write_bytes(data)


UNLOADING = """
import _ctypes, asyncio, ctypes, os, sys
import kith
from kith.testing import memory_node

def mapped(path):
    with open("/proc/self/maps") as maps:
        return any(line.rstrip().endswith(path) for line in maps)

async def main():
    async with await memory_node() as node:
        context = await node.create_context()
        path = os.path.realpath(kith._native._UniffiLib._name)
        _ctypes.dlclose(kith._native._UniffiLib._handle)
        _ctypes.dlclose(ctypes.CDLL(path)._handle)
        assert mapped(path)
        await context.put(kith.StateKey.of("a", "b"), b"kept")
        assert await context.get(kith.StateKey.of("a", "b")) == b"kept"
    copy = ctypes.CDLL(sys.argv[1])
    assert mapped(sys.argv[1])
    _ctypes.dlclose(copy._handle)
    assert not mapped(sys.argv[1]), "the control: what has no such flag leaves"

asyncio.run(main())
print("ended")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is promised")
async def test_the_library_stays_where_it_was_loaded(tmp_path):
    copy = tmp_path / "libcopy.so"
    without_the_flag(_native._UniffiLib._name, copy)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", UNLOADING, str(copy), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (0, b"ended\n")


@pytest.fixture
def crossings(monkeypatch):
    """Counts what is called of the generated classes."""
    counted = {}

    def watch(cls, name):
        original = getattr(cls, name)

        def call(*arguments):
            counted[name] = counted.get(name, 0) + 1
            return original(*arguments)

        monkeypatch.setattr(cls, name, call)

    for cls, names in ((_native.Events, ("ready", "take")), (_native.Context, ("entries", "packed_entries"))):
        for name in names:
            watch(cls, name)
    return counted


async def test_events_and_entries_do_not_cross_one_by_one(crossings):
    async with await memory_node() as node:
        context = await node.create_context()
        values = {key(str(number)): bytes([number]) * number for number in range(120)}
        for name, value in values.items():
            await context.put(name, value)
        stream = await context.subscribe(after=0)
        events = [await stream.next() for _ in range(200)]
        assert len([event for event in events if isinstance(event, kith.Executed)]) >= 90
        assert [event.cursor for event in events] == sorted(event.cursor for event in events)
        # What 64 writes have to say is one piece; a wait that finds nothing of it comes at the end of a piece.
        assert 1 <= crossings["take"] <= crossings["ready"] <= 8
        page = await context.entries(limit=1000)
        assert {entry.key: entry.value for entry in page} == values
        assert all(type(entry.key) is kith.StateKey and type(entry.value) is bytes for entry in page)
        assert crossings["packed_entries"] == 1 and "entries" not in crossings


async def history_of_60(node):
    """A context with as many events to read from its beginning, and they."""
    context = await node.create_context()
    for number in range(50):
        await context.put(key("x"), bytes([number]))
    alone = await context.subscribe(after=0)
    return context, [await alone.next() for _ in range(60)]


async def read(stream, count):
    return [await stream.next() for _ in range(count)]


# scenario: readers_share_a_stream
async def test_what_is_at_hand_of_a_stream_is_not_lost_to_another_task():
    async with await memory_node() as node:
        context, wanted = await history_of_60(node)
        # What is taken for all of them is taken by another one each time.
        for _ in range(20):
            stream = await context.subscribe(after=0)
            seen = await asyncio.gather(*(read(stream, 12) for _ in range(5)))
            assert sorted((event for part in seen for event in part), key=wanted.index) == wanted


async def test_a_stream_may_be_read_from_several_event_loops():
    """A thread may look at what is at hand just before another one fills it."""
    async with await memory_node() as node:
        context, wanted = await history_of_60(node)
        for _ in range(20):
            stream = await context.subscribe(after=0)
            seen = await asyncio.gather(*(asyncio.to_thread(asyncio.run, read(stream, 12)) for _ in range(5)))
            assert sorted((event for part in seen for event in part), key=wanted.index) == wanted
