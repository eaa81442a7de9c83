"""`kith.sync`: the asynchronous package for programs without asyncio."""

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import kith
import kith.sync
from kith.sync.testing import Hub, memory_node, two_members, two_nodes

MILK = kith.StateKey.of("shopping", "milk")


def eventually(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def public(cls):
    return {name for name in vars(cls) if not name.startswith("_")}


def test_it_has_all_that_the_asynchronous_package_has():
    assert set(kith.sync.__all__) == set(kith.__all__)
    for name in kith.__all__:
        ours, theirs = getattr(kith.sync, name), getattr(kith, name)
        if name == "testing":
            continue
        if name not in ("Node", "Context", "Events"):
            assert ours is theirs
            continue
        assert public(ours) == public(theirs)
        for method in public(theirs):
            one, other = inspect.getattr_static(ours, method), inspect.getattr_static(theirs, method)
            assert type(one) is type(other)
            if isinstance(one, property):
                continue
            assert not inspect.iscoroutinefunction(getattr(ours, method))
            parameters = [
                [p for p in inspect.signature(getattr(cls, method)).parameters.values() if not p.name.startswith("_")]
                for cls in (ours, theirs)
            ]
            assert [(p.name, p.default, p.kind) for p in parameters[0]] == [
                (p.name, p.default, p.kind) for p in parameters[1]
            ], method
    for name in kith.sync.testing.__all__:
        assert hasattr(kith.testing, name)


def test_a_script_from_opening_to_restart(tmp_path):
    with kith.sync.Node.open(tmp_path, listen=[], discovery=False) as node:
        context = node.create_context(name="home")
        assert context.name == "home" and context.role == "admin" and repr(context).startswith("<kith.sync.Context ")
        with pytest.raises(kith.BusyError):
            kith.sync.Node.open(tmp_path)
        events = context.subscribe()
        context.put(MILK, b"2 litres")
        assert isinstance(next(events), kith.Executed)
        assert events.next() == kith.Changed(events_cursor(context), [MILK])
        assert [entry.value for entry in context.all_entries()] == [b"2 litres"]
    with pytest.raises(kith.ClosedError):
        context.get(MILK)
    assert list(events) == []
    with kith.sync.Node.open(tmp_path, listen=[], discovery=False) as node:
        (info,) = node.contexts()
        again = node.context(info.id)
        assert again == context and hash(again) == hash(context) and again != node
        assert again.get(MILK) == b"2 litres"


def events_cursor(context):
    """The cursor of the last event that is kept."""
    for event in context.events(after=0):
        if isinstance(event, kith.Changed):
            return event.cursor


def test_the_same_errors():
    with two_members() as (mine, theirs):
        with pytest.raises(kith.PermissionDeniedError):
            theirs.set_name("mine")
        with pytest.raises(kith.InvalidArgumentError):
            mine.put(b"short", b"")
        with pytest.raises(kith.RejectedError):
            mine.compare_and_set(MILK, b"something", b"else")
        with pytest.raises(kith.NotMemberError):
            mine.remove(bytes(32))
        with pytest.raises(kith.TimeoutError):
            mine.subscribe().next(timeout=0.01)


def test_a_manager_is_left_with_the_error_that_comes():
    with pytest.raises(KeyError), two_nodes() as (one, other):
        raise KeyError("x")
    with pytest.raises(kith.ClosedError):
        one.create_context()


def test_many_threads_call_at_once():
    with memory_node(Hub()) as node:
        context = node.create_context()
        counter = kith.StateKey.of("count", "all")
        threads = [threading.Thread(target=lambda: [context.add(counter, 1) for _ in range(5)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert context.add(counter, 0) == 80
    assert [thread.name for thread in threading.enumerate()].count("kith-sync") == 1


async def test_it_works_where_a_loop_runs_already():
    """As in the cell of a notebook."""
    with memory_node(Hub()) as node:
        context = node.create_context()
        context.put(MILK, b"2 litres")
        assert context.get(MILK) == b"2 litres"
    await asyncio.sleep(0)


def test_from_inside_a_callback_it_is_refused_and_does_not_wait_for_itself():
    seen = []

    class Curious(kith.Application):
        def execute(self, call, state):
            with pytest.raises(kith.UnsupportedError, match="an application's callback"):
                context.get(MILK)
            seen.append(call.method)
            return b""

    with memory_node(Hub()) as node:
        node.register("curious", Curious())
        context = node.create_context("curious")
        context.execute("look")
    assert seen == ["look"]


def test_reading_waits_for_no_loop():
    with memory_node(Hub()) as node:
        context = node.create_context()
        context.put(MILK, b"2 litres")
        loop, held, free = kith.sync._loop._running().loop, threading.Event(), threading.Event()
        loop.call_soon_threadsafe(lambda: (held.set(), free.wait(60)))
        try:
            assert held.wait(60)
            assert context.get(MILK) == b"2 litres"
            assert [entry.value for entry in context.entries()] == [b"2 litres"]
        finally:
            free.set()


def test_on_the_own_loop_nothing_is_read():
    with memory_node(Hub()) as node:
        context = node.create_context()

        async def read():
            return context.get(MILK)

        with pytest.raises(kith.UnsupportedError, match="its own loop"):
            kith.sync._loop.call(read())


def test_progress_of_a_join_is_told():
    told = []
    with two_nodes() as (one, other):
        mine = one.create_context()
        for number in range(20):
            mine.put(kith.StateKey.of("n", str(number)), b"x")
        other.join(mine.invite(), on_progress=lambda done, total: told.append((done, total)))
    assert told and all(done <= total for done, total in told)


def test_leaving_a_loop_over_events_ends_the_subscription_without_waiting():
    with memory_node(Hub()) as node:
        context = node.create_context()
        context.put(MILK, b"x")
        for _ in range(50):
            for event in context.events(after=0):
                break
        assert isinstance(event, kith.Event)


INTERRUPTIBLE = """
import signal, sys, threading, time
# Whoever starts the tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
import kith
from kith.sync.testing import *

k = kith.StateKey.of("a", "b")

def waits():
    # For a call, and not for the thread that looks, which `start` waits for.
    frame = sys._current_frames()[threading.main_thread().ident]
    return (frame.f_code.co_name, frame.f_back.f_code.co_name) == ("wait", "result")

def tell_when_it_waits():
    while not waits():
        time.sleep(0.01)
    print("ready")
"""


def interrupted(body):
    """What a program prints that gets a SIGINT once it says "ready"."""
    program = INTERRUPTIBLE + body
    child = subprocess.Popen(
        [sys.executable, "-I", "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    hangs = threading.Timer(120, child.kill)
    hangs.start()
    try:
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            if line == "ready\n":
                child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0, lines
    finally:
        hangs.cancel()
    return lines


def test_ctrl_c_ends_a_wait_and_loses_nothing():
    said = interrupted(
        """
with memory_node(Hub()) as node:
    context = node.create_context()
    events = context.subscribe()
    threading.Thread(target=tell_when_it_waits, daemon=True).start()
    try:
        events.next()
    except KeyboardInterrupt:
        print("interrupted")
    context.put(k, b"v")
    print(type(events.next(timeout=30)).__name__, context.get(k))
"""
    )
    assert said == ["ready", "interrupted", "Executed b'v'"]


def run(program, **options):
    return subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "1 / 0", "threading.Thread(target=wait, daemon=True).start()"])
def test_a_program_that_forgets_everything_ends(ending):
    done = run(
        f"""
import sys, threading
import kith.sync as kith
from kith.sync.testing import *
node = memory_node(Hub())
context = node.create_context()
context.put(kith.StateKey.of("a", "b"), b"v")
events = context.subscribe()
stream = context.events(after=0)
next(stream)
def wait():
    for event in context.events():
        pass
print("ended", flush=True)
{ending}
"""
    )
    assert done.stdout == "ended\n"
    assert done.returncode == {"sys.exit(3)": 3, "1 / 0": 1}.get(ending, 0), done.stderr
    assert done.stderr == "" or "ZeroDivisionError" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_a_forked_process_has_no_part_in_its_parents_nodes(end, tmp_path):
    """However the child ends, the parent's nodes go on, and so does what they have on disk."""
    done = run(
        f"""
import gc, os, sys, time
import kith, kith.sync
from kith.sync.testing import *
k = kith.StateKey.of("a", "b")
path = {str(tmp_path / "node")!r}
node = kith.sync.Node.open(path, listen=[], discovery=False)
context = node.create_context()
events = context.subscribe()
context.put(k, b"before")
begun = time.monotonic()
child = os.fork()
if child == 0:
    for use in (
        lambda: context.get(k), lambda: node.create_context(), lambda: events.next(timeout=1), node.shutdown,
        lambda: memory_node(),
    ):
        try:
            use()
            os._exit(11)
        except kith.UnsupportedError as error:
            assert "forked" in str(error), error
    try:
        kith.set_log_level("warn")
        os._exit(12)
    except kith.UnsupportedError:
        pass
    del node, context, events
    gc.collect()
    {end}
assert os.waitpid(child, 0)[1] == 0
assert time.monotonic() - begun < 60
context.put(k, b"after")
assert context.get(k) == b"after"
assert isinstance(events.next(timeout=30), kith.Executed)
node.shutdown()
with kith.sync.Node.open(path, listen=[], discovery=False) as again:
    assert again.context(again.contexts()[0].id).get(k) == b"after"
print("whole")
"""
    )
    assert (done.stdout, done.returncode) == ("whole\n", 0), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_processes_that_are_forked_before_any_node_is_opened_are_like_any_other():
    done = run(
        """
import multiprocessing
import kith.sync as kith
from kith.sync.testing import *

def work(number):
    with memory_node(Hub()) as node:
        context = node.create_context()
        context.put(kith.StateKey.of("a", "b"), str(number).encode())
        return context.get(kith.StateKey.of("a", "b"))

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(4)))
with memory_node(Hub()) as node:
    context = node.create_context()
    context.put(kith.StateKey.of("a", "b"), b"parent")
"""
    )
    assert (done.stdout, done.returncode) == ("[b'0', b'1', b'2', b'3']\n", 0), done.stderr


def test_python_m_kith_says_what_it_is_and_checks_itself():
    done = subprocess.run(
        [sys.executable, "-I", "-m", "kith", "--name", "notes"], capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith(f"kith {kith.version()} (Python 3.")
    assert os.path.isfile(lines[1].split(": ", 1)[1]) and "kith_uniffi" in lines[1]
    assert lines[2].endswith(kith.default_directory("notes"))
    assert lines[3].startswith("self-check: ok")


def test_a_self_check_that_fails_is_the_exit_code(monkeypatch, capsys):
    from kith import __main__ as program

    async def broken():
        raise kith.StorageError("torn")

    monkeypatch.setattr(program, "self_check", broken)
    assert program.main([]) == 1
    said = capsys.readouterr()
    assert "self-check: FAILED" in said.out and "torn" in said.err
    assert program.main(["--no-check"]) == 0
