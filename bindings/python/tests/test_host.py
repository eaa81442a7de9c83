"""Applications of the host on nodes: faults, skipping, waiting for an application; cancellation, logs, names, hubs."""

import asyncio
import logging
import threading

import pytest

import kith
from kith.testing import Hub, memory_node, two_members, two_nodes

from test_node import equal, event_of, eventually, key


class Moody(kith.Application):
    """Stores its arguments, and raises what the test wants where the test wants."""

    def __init__(self):
        self.error = None
        self.thread = None

    def execute(self, call, state):
        self.thread = threading.get_native_id()
        if self.error is not None and call.arguments == b"bad":
            raise self.error
        state.put(key(call.method), call.arguments)
        return b"done"


async def blocked(context):
    return (await context.status()).blocked


# scenario: local_fault
@pytest.mark.parametrize(
    "error",
    [MemoryError("full"), TimeoutError("slow"), KeyboardInterrupt(), kith.LocalFault("disk"), kith.StorageError("torn")],
)
async def test_a_local_fault_blocks_one_member_and_an_admin_skips_the_call(error):
    good, moody = Moody(), Moody()
    moody.error = error
    async with two_members("moody", applications=(good, moody)) as (mine, theirs):
        stream = await theirs.subscribe()
        receipt = await mine.execute("first", b"bad")
        cause = (await event_of(stream, kith.Blocked)).cause
        assert receipt.transaction.hex() in cause and type(error).__name__ in cause
        assert await blocked(theirs) == cause and await blocked(mine) is None
        with pytest.raises(kith.BlockedError):
            await theirs.execute("other", b"good")
        assert await mine.get(key("first")) == b"bad" and await theirs.get(key("first")) is None
        with pytest.raises(kith.PermissionDeniedError):
            await theirs.skip(receipt.transaction)
        await mine.skip(receipt.transaction)
        assert await mine.get(key("first")) is None

        async def goes_on():
            return await blocked(theirs) is None

        await eventually(goes_on, "the other one goes on")
        await theirs.execute("other", b"good")
        await equal(mine, theirs)
        assert (await mine.transaction(receipt.transaction)).outcome is kith.Outcome.REJECTED


# scenario: fault_that_passes
async def test_a_fault_that_passes_is_tried_again_without_anybodys_doing():
    good, moody = Moody(), Moody()
    moody.error = kith.LocalFault("for a moment")
    async with two_members("moody", applications=(good, moody)) as (mine, theirs):
        stream = await theirs.subscribe()
        await mine.execute("first", b"bad")
        await event_of(stream, kith.Blocked)
        moody.error = None

        async def applied():
            return await theirs.get(key("first")) == b"bad"

        await eventually(applied, "the call is carried out")
        assert await mine.commitment() == await theirs.commitment()


@pytest.mark.parametrize("error", [ValueError("no"), kith.InvalidArgumentError("a key of 3 bytes")])
async def test_what_every_member_gets_alike_rejects(error):
    """A short key in a call's arguments must not block every member that trusts `StateKey` to check it."""
    moody = Moody()
    moody.error = error
    async with await memory_node() as node:
        node.register("moody", moody)
        context = await node.create_context("moody")
        with pytest.raises(kith.RejectedError):
            await context.execute("first", b"bad")
        assert await blocked(context) is None


# scenario: application_missing
async def test_a_context_waits_for_its_application_and_applies_then():
    async with two_nodes() as (one, other):
        one.register("moody", Moody())
        mine = await one.create_context("moody")
        await mine.execute("first", b"value")
        theirs = await other.join(await mine.invite())
        await mine.execute("second", b"value")

        async def holds_everything():
            status = await theirs.status()
            return status.digest == (await mine.status()).digest and status.pending >= 2

        await eventually(holds_everything, "it syncs without executing")
        assert "`moody` is not registered" in await blocked(theirs)
        with pytest.raises(kith.ApplicationMissingError, match="moody"):
            await theirs.execute("third", b"value")
        other.register("moody", Moody())
        await equal(mine, theirs)
        assert await theirs.get(key("second")) == b"value"


# scenario: application_calls_back
async def test_an_application_runs_on_a_thread_of_the_contexts_and_may_not_call_the_library():
    seen = []

    class Curious(Moody):
        def execute(self, call, state):
            name = open(f"/proc/self/task/{threading.get_native_id()}/comm").read().strip()
            try:
                asyncio.run(context.put(key("x"), b"y"))
            except kith.UnsupportedError as error:
                seen.append((name, str(error)))
            return b""

    async with await memory_node() as node:
        node.register("curious", Curious())
        context = await node.create_context("curious")
        await asyncio.wait_for(context.execute("look"), 30)
    assert seen == [("kith-context", "this may not be called from inside an application's callback")]


# scenario: cancelled_write
async def test_a_cancelled_write_is_finished_or_not_begun_and_the_context_goes_on():
    async with await memory_node() as node:
        context = await node.create_context()
        for number in range(50):
            task = asyncio.create_task(context.put(key(str(number)), b"x"))
            await asyncio.sleep(0)
            # It may be finished by then: the context's thread needs no longer than its first step where this one has to wait.
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await task
        await context.put(key("last"), b"x")
        # Each had been begun: its first step hands it to the context's thread.
        assert len([entry async for entry in context.all_entries()]) == 51


# scenario: cancelled_join
async def test_a_cancelled_join_is_given_up_and_may_be_tried_again():
    hub = Hub()
    async with two_nodes(hub) as (one, other):
        mine = await one.create_context()
        token = await mine.invite()
        hub.partition(one, other)
        task = asyncio.create_task(other.join(token))

        async def begun():
            return [info.joining for info in other.contexts()] == [True]

        await eventually(begun, "joining has begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def gone():
            return other.contexts() == []

        await eventually(gone, "nothing of it stays")
        hub.heal(one, other)
        again = await other.join(token)
        assert again.role == "writer"


# scenario: half_joined
async def test_a_half_joined_context_is_there_after_a_restart_and_can_be_deleted(tmp_path):
    loopback = {"listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": False}
    async with await kith.Node.open(None, **loopback) as one:
        token = await (await one.create_context()).invite()
    node = await kith.Node.open(tmp_path, **loopback)
    task = asyncio.create_task(node.join(token))

    async def begun():
        return len(node.contexts()) == 1

    await eventually(begun, "joining has begun")
    await node.shutdown()
    with pytest.raises(kith.ClosedError):
        await task
    async with await kith.Node.open(tmp_path, **loopback) as again:
        (info,) = again.contexts()
        assert info.joining and info.id == again.inspect(token).context
        await again.context(info.id).leave()
        assert again.contexts() == []
    async with await kith.Node.open(tmp_path, **loopback) as again:
        assert again.contexts() == []


# scenario: peer_out_of_reach
async def test_status_says_why_a_peer_is_not_reached():
    async with await kith.Node.open(None, listen=["/ip4/127.0.0.1/tcp/0"], discovery=False) as gone:
        (address,) = gone.addresses
    async with await kith.Node.open(None, listen=["/ip4/127.0.0.1/tcp/0"], discovery=False) as node:
        assert (await node.status()).peers == []
        with pytest.raises(kith.UnreachableError):
            await node.connect(address)
        # What failed once and for all is the caller's to know, and nobody is dialled behind its back.
        assert (await node.status()).peers == []
    async with await kith.Node.open(
        None, listen=["/ip4/127.0.0.1/tcp/0"], discovery=False, bootstrap=[address]
    ) as node:

        async def refused():
            peers = (await node.status()).peers
            return [(peer.peer, peer.connected) for peer in peers] == [(gone.id, False)] and peers[0].last_failure

        await eventually(refused, "the status names the peer and why it is not reached")
        (peer,) = (await node.status()).peers
        assert peer.addresses == [address] and "refused" in peer.last_failure
        assert peer.next_attempt_in is None or peer.next_attempt_in < 60_000


async def test_strangers_are_counted():
    hub = Hub()
    async with await memory_node(hub) as node:
        assert (await node.status()).strangers == kith.Strangers(0, 0, 0, 0, 0, 0, 0)

        async def counted(linked, ended):
            strangers = (await node.status()).strangers
            return strangers == kith.Strangers(linked, ended, 0, 0, 0, 0, 0)

        async with await memory_node(hub) as other:
            await other.connect(node.addresses[0])
            await eventually(lambda: counted(1, 0), "somebody has come")
        await eventually(lambda: counted(0, 1), "it has gone")


async def test_a_bootstrap_peer_that_comes_later_is_reached_and_comes_back_after_a_loss(tmp_path):
    async with await kith.Node.open(tmp_path / "hub", listen=["/ip4/127.0.0.1/tcp/0"], discovery=False) as hub:
        (address,) = hub.addresses
        id = hub.id
    loopback = {"listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": False}
    async with await kith.Node.open(None, bootstrap=[address], **loopback) as node:

        async def connected():
            return [(peer.peer, peer.connected, peer.last_failure) for peer in (await node.status()).peers] == [
                (id, True, None)
            ]

        async def lost():
            return [peer.connected for peer in (await node.status()).peers] == [False]

        for _ in range(2):
            async with await kith.Node.open(tmp_path / "hub", listen=[address.split("/p2p/")[0]], discovery=False):
                await eventually(connected, "the peer is there, and connected")
            await eventually(lost, "it is gone again")


# scenario: logs_reach_the_host
async def test_logs_reach_logging_filtered_before_they_cross(caplog):
    moved = []

    class Nosy(logging.Handler):
        def emit(self, record):
            try:
                node.contexts()
            except kith.UnsupportedError as error:
                moved.append(str(error))

    handler = Nosy()
    with pytest.raises(kith.InvalidArgumentError, match="`loud` is no level"):
        kith.set_log_level("loud")
    caplog.set_level(logging.DEBUG, "kith")
    logging.getLogger("kith").addHandler(handler)
    try:
        for level, wanted in (("off", False), ("debug", True)):
            caplog.clear()
            kith.set_log_level(level)
            async with await memory_node() as node:
                context = await node.create_context()
                token = await context.invite()
                async with await memory_node() as other:
                    await other.join(token)

                async def told():
                    return any(record.name.startswith("kith.") for record in caplog.records)

                if wanted:
                    await eventually(told, "something is logged at debug")
                else:
                    assert not await told()
        assert moved and set(moved) == {"this may not be called from inside a log handler"}
    finally:
        logging.getLogger("kith").removeHandler(handler)
        kith.set_log_level("warn")


async def test_a_log_handler_that_raises_harms_nobody_and_gets_what_comes_next(caplog):
    raised = []

    class Raising(logging.Handler):
        def emit(self, record):
            if len(raised) < 20:
                raised.append(record)
                raise MemoryError("no room for a record")

    handler = Raising()
    caplog.set_level(logging.DEBUG, "kith")
    logging.getLogger("kith").addHandler(handler)
    kith.set_log_level("debug")
    try:
        async with await memory_node() as node:
            context = await node.create_context()

            async def told():
                await context.put(key("x"), b"y")
                async with await memory_node() as other:
                    await other.join(await context.invite())
                # What raised has not come to the handlers behind it; what follows does.
                return len(raised) == 20 and any(record.name.startswith("kith.") for record in caplog.records)

            await eventually(told, "it is told again after twenty failures")
            assert await context.get(key("x")) == b"y"
        assert not {id(record) for record in raised} & {id(record) for record in caplog.records}
    finally:
        logging.getLogger("kith").removeHandler(handler)
        kith.set_log_level("warn")


# scenario: names_of_members
async def test_members_and_contexts_are_called_what_they_say():
    async with two_members() as (mine, theirs):
        stream = await mine.subscribe()
        await theirs.set_display_name("Ben")
        renamed = await event_of(stream, kith.Renamed)
        assert (renamed.member, renamed.name) == (theirs.me, "Ben")
        assert {m.name for m in await mine.members()} == {"Ben", ""}
        await mine.set_name("home")
        renamed = await event_of(stream, kith.Renamed)
        assert (renamed.member, renamed.name, mine.name) == (None, "home", "home")
        with pytest.raises(kith.PermissionDeniedError):
            await theirs.set_name("mine")
        with pytest.raises(kith.LimitExceededError, match="at most 128 bytes, not 129"):
            await mine.set_display_name("x" * 129)


# scenario: invitation_as_text_bytes_and_picture
async def test_an_invitation_is_text_bytes_and_a_picture():
    async with two_nodes() as (one, other):
        mine = await one.create_context()
        token = await mine.invite()
        assert token.startswith("kith1") and len(token.data) < len(token)
        assert kith.invitation(token.data) == token and kith.invitation(str(token)).id == token.id
        assert token.id in [issued.id for issued in await mine.invitations()]
        assert len(token.qr().splitlines()) > 20
        assert (await other.join(token.data)).id == mine.id
        second = await mine.invite()
        await mine.revoke(second)
        assert [i.revoked for i in await mine.invitations() if i.id == second.id] == [True]
        with pytest.raises(kith.InvitationInvalidError):
            kith.invitation(b"\x02nonsense")


def test_the_default_directory_is_named_for_the_program(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert kith.default_directory("notes") == "/data/notes"
    for name in ("", "..", "a/b"):
        with pytest.raises(kith.InvalidArgumentError):
            kith.default_directory(name)
