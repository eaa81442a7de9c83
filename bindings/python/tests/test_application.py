"""Applications written in Python, on the bench: what they return, raise, and do to the state."""

import threading

import pytest

import kith
from kith import _native
from kith.testing import ApplicationBench

KEY = kith.StateKey.of("things", "one")


class Scripted(kith.Application):
    """Does in `execute` and `query` whatever the test says."""

    def __init__(self, body, initialise=None):
        self.body = body
        self.at_start = initialise

    def initialise(self, arguments, state):
        if self.at_start is None:
            return super().initialise(arguments, state)
        return self.at_start(arguments, state)

    def execute(self, call, state):
        return self.body(call, state)

    def query(self, method, arguments, state):
        return self.body(method, state)


def run(body):
    bench = ApplicationBench(Scripted(body))
    return bench, lambda: bench.execute("method", b"arguments")


def test_a_call_arrives_whole_and_its_answer_goes_back():
    calls = []

    def body(call, state):
        calls.append(call)
        state.put(KEY, call.arguments)
        state.emit("written", b"data")
        assert state.get(KEY) == call.arguments
        assert state.entries(prefix=kith.StateKey.collection("things")) == [(KEY, call.arguments)]
        return b"answer"

    bench = ApplicationBench(Scripted(body))
    member = bytes([9]) * 32
    assert bench.execute("put", b"value", member=member, role="admin", timestamp=5) == b"answer"
    assert calls == [kith.Call("put", b"value", member, "admin", bytes(32), 5)]
    assert bench.entries() == {KEY: b"value"}
    assert bench.emitted() == ["written"]


# scenario: application_raises
def test_raising_rejects_the_call_with_the_words_and_undoes_its_writes():
    def body(call, state):
        state.put(KEY, b"half")
        raise LookupError("no such thing")

    bench, call = run(body)
    with pytest.raises(kith.RejectedError, match="^LookupError: no such thing$"):
        call()
    assert bench.entries() == {}


class BadWords(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x"), kith.RejectedError),
        (BadWords(), kith.RejectedError),
        (RecursionError(), kith.RejectedError),
        (kith.LocalFault("disk"), kith.BlockedError),
        (MemoryError(), kith.BlockedError),
        (KeyboardInterrupt(), kith.BlockedError),
        (SystemExit(3), kith.BlockedError),
    ],
)
def test_whatever_is_raised_comes_out_as_a_typed_error(error, kind):
    def body(call, state):
        raise error

    _, call = run(body)
    with pytest.raises(kind):
        call()


def test_an_answer_that_is_no_bytes_rejects():
    for answer in (None, "text", 7):
        _, call = run(lambda call, state, answer=answer: answer)
        with pytest.raises(kith.RejectedError, match="not bytes"):
            call()


def test_an_exception_below_the_hand_written_layer_is_an_error_too():
    """The spike: a foreign callback that raises what UniFFI does not expect is no panic in the library."""

    class Raw(_native.HostApplication):
        def initialise(self, arguments, state):
            return None

        def execute(self, call, state):
            raise ZeroDivisionError("below")

        def query(self, method, arguments, state):
            return None

    bench = _native.ApplicationBench(Raw(), b"")
    for call in (
        lambda: bench.execute("m", b"", bytes(32), "writer", 0),
        lambda: bench.query("m", b""),
    ):
        with pytest.raises(_native.Failure.Failed) as caught:
            call()
        assert caught.value.kind == kith.ErrorKind.BLOCKED
    assert bench.entries() == []


def test_a_failure_of_the_state_cannot_be_swallowed():
    def body(call, state):
        try:
            state.put(KEY, bytes(1024 * 1024 + 1))
        except Exception:
            pass
        return b"all fine"

    bench, call = run(body)
    with pytest.raises(kith.RejectedError, match="at most 1048576 bytes"):
        call()
    assert bench.entries() == {}


# scenario: state_ends_with_its_call
def test_the_state_is_closed_when_the_call_has_ended():
    kept = []

    def body(call, state):
        kept.append(state)
        return b""

    bench, call = run(body)
    call()
    with pytest.raises(Exception, match="has ended"):
        kept[0].put(KEY, b"late")
    assert bench.entries() == {}


def test_the_state_stays_on_its_thread():
    seen = []

    def body(call, state):
        def elsewhere():
            try:
                state.put(KEY, b"x")
            except Exception as error:
                seen.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return b""

    bench, call = run(body)
    call()
    assert seen == ["the state belongs to the thread that the application was called on"]
    assert bench.entries() == {}


def test_a_query_writes_nothing():
    def body(method, state):
        state.put(KEY, b"x")
        return b"answer"

    bench, _ = run(body)
    assert bench.query("look") == b"answer"
    assert bench.entries() == {}


def test_arguments_of_the_creator():
    with pytest.raises(kith.RejectedError, match="takes no arguments"):
        ApplicationBench(Scripted(None), b"surprise")
    bench = ApplicationBench(Scripted(None, lambda arguments, state: state.put(KEY, arguments)), b"start")
    assert bench.entries() == {KEY: b"start"}


def test_wrong_ids_and_roles_are_named():
    _, call = run(lambda call, state: b"")
    bench = ApplicationBench(Scripted(lambda call, state: b""))
    with pytest.raises(kith.InvalidArgumentError, match="32 bytes, not 3"):
        bench.execute("m", member=b"abc")
    with pytest.raises(kith.InvalidArgumentError, match="`king` is no role"):
        bench.execute("m", role="king")


def test_a_mebibyte_crosses_whole():
    value = bytes(range(256)) * 4096
    bench = ApplicationBench(Scripted(lambda call, state: call.arguments))
    assert bench.execute("echo", value) == value
