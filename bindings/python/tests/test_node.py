"""Nodes and contexts: what is written is kept, read, shared, and taken away again."""

import asyncio
import datetime
import gc
import inspect
import sys

import pytest

import kith
from kith.testing import memory_node, two_nodes

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


def key(name):
    return kith.StateKey.of("test", name)


async def eventually(condition, what):
    """Waits until a condition holds. The limit only ends a test that fails."""
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never: {what}")


async def equal(one, other):
    """Waits until two members hold the same history, all executed. Equal commitments alone say less: the states may be equal before the histories are."""

    async def in_step():
        a, b = await one.status(), await other.status()
        settled = all(status.pending == status.unopened == 0 for status in (a, b))
        return settled and (a.digest, a.commitment) == (b.digest, b.commitment)

    await eventually(in_step, "they are equal")


async def event_of(stream, kind):
    while True:
        event = await stream.next()
        if isinstance(event, kind):
            return event


async def joined(one, other, **invitation):
    """A context of `one` that `other` has joined, as both hold it."""
    mine = await one.create_context(name="shared")
    theirs = await other.join(await mine.invite(**invitation))
    return mine, theirs


# scenario: keeps_over_a_restart, put_get_delete, what_became_of_a_transaction, counters_and_appending
async def test_a_context_keeps_what_it_is_told(tmp_path):
    async with await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False) as node:
        context = await node.create_context(name="a name")
        assert (context.role, context.application, context.name) == ("admin", "kv", "a name")
        assert len(context.id) == len(context.me) == 32
        assert await context.get(key("one")) is None
        id = await context.put(key("one"), b"value")
        assert await context.get(key("one")) == b"value"
        await context.append(key("one"), bytearray(b"!"))
        assert await context.get(bytes(key("one"))) == b"value!"
        assert await context.add(key("counter"), 40) == 40
        assert await context.add(key("counter"), 2) == 42
        await context.delete(key("one"))
        assert await context.get(key("one")) is None
        transaction = await context.transaction(id)
        assert transaction.outcome is kith.Outcome.ACCEPTED
        assert (transaction.author, transaction.method, transaction.sequence) == (context.me, "put", 3)
        assert await context.transaction(bytes(32)) is None
        assert [info.id for info in node.contexts()] == [context.id]
        assert node.context(context.id) == context

    async with await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False) as node:
        again = node.context(context.id)
        assert await again.get(key("counter")) == (42).to_bytes(8, "little")
        assert [t.id for t in await again.history()][2] == id


# scenario: compare_and_set, batch_all_or_nothing
async def test_compare_and_set_and_batches_are_all_or_nothing():
    async with await memory_node() as node:
        context = await node.create_context()
        await context.compare_and_set(key("one"), None, b"a")
        with pytest.raises(kith.RejectedError):
            await context.compare_and_set(key("one"), b"other", b"b")
        await context.compare_and_set(key("one"), b"a", b"b")
        await context.batch(kith.Batch().append(key("one"), b"c").put(key("two"), b"x").add(key("n"), -3))
        assert await context.get(key("one")) == b"bc"
        assert await context.get(key("n")) == (-3).to_bytes(8, "little", signed=True)
        refused = kith.Batch().delete(key("two")).compare_and_set(key("one"), b"never", None)
        with pytest.raises(kith.RejectedError):
            await context.batch(refused)
        assert await context.get(key("two")) == b"x"


# scenario: entries_in_pages
async def test_entries_come_in_key_order_and_pages():
    async with await memory_node() as node:
        context = await node.create_context()
        wanted = {key(str(number)): str(number).encode() for number in range(7)}
        for name, value in wanted.items():
            await context.put(name, value)
        await context.put(kith.StateKey.of("elsewhere", "x"), b"x")
        prefix = kith.StateKey.collection("test")
        first = await context.entries(prefix, limit=3)
        assert [entry.key for entry in first] == sorted(wanted)[:3]
        rest = await context.entries(prefix, after=first[-1].key)
        assert {entry.key: entry.value for entry in first + rest} == wanted
        assert [entry.key async for entry in context.all_entries(prefix)] == sorted(wanted)
        assert len([entry async for entry in context.all_entries()]) == 8


# scenario: order_in_pages
async def test_the_order_is_read_in_pages():
    async with await memory_node() as node:
        context = await node.create_context()
        for number in range(5):
            await context.put(key("x"), str(number).encode())
        first = await context.history(limit=4)
        rest = await context.history(first[-1].place)
        assert [t.sequence for t in first + rest] == [1, 2, 3, 4, 5, 6, 7]
        assert [t.place for t in first + rest] == sorted(t.place for t in first + rest)
        assert rest[-1].arguments.endswith(b"4")


# scenario: methods_by_name
async def test_a_method_is_called_by_name():
    async with await memory_node() as node:
        context = await node.create_context()
        arguments = bytes(key("n")) + (5).to_bytes(8, "little")
        receipt = await context.execute("add", arguments)
        assert receipt.output == (5).to_bytes(8, "little")
        assert (await context.transaction(receipt.transaction)).output == receipt.output
        assert (await context.query("get", bytes(key("n"))))[-8:] == receipt.output
        with pytest.raises(kith.RejectedError, match="no method"):
            await context.execute("nonsense")
        with pytest.raises(kith.RejectedError, match="no query"):
            await context.query("nonsense")


# scenario: two_members_share, status_names_peers, invitation_is_read, joining_tells_how_far
async def test_two_nodes_share_a_context():
    async with two_nodes() as (one, other):
        mine = await one.create_context(name="shared")
        await mine.put(key("early"), b"by one")
        token = await mine.invite(note="for the test", expires_in=datetime.timedelta(hours=1))
        info = other.inspect(token)
        assert (info.context, info.inviter, info.role) == (mine.id, mine.me, "writer")
        assert (info.application, info.note, info.member) == ("kv", "for the test", False)
        stream = await mine.subscribe()
        progress = []
        theirs = await other.join(token, on_progress=lambda *numbers: progress.append(numbers))
        assert other.inspect(token).member
        assert (await theirs.get(key("early")), theirs.name) == (b"by one", "shared")
        assert progress and all(done <= total for done, total in progress)
        came = await event_of(stream, kith.MemberJoined)
        assert (came.member, came.role) == (theirs.me, "writer")

        await theirs.put(key("later"), b"by other")
        while key("later") not in (await event_of(stream, kith.Changed)).keys:
            pass
        assert await mine.get(key("later")) == b"by other"
        await theirs.wait_synced(60)
        assert await mine.commitment() == await theirs.commitment()
        assert [t.id for t in await mine.history()] == [t.id for t in await theirs.history()]
        status = await mine.status()
        assert [(peer.peer, peer.member) for peer in status.peers] == [(other.id, theirs.me)]
        assert status.blocked is None and status.frozen is None and status.missing == []
        assert status.commitment == await mine.commitment()
        seen = {peer.peer: peer.connected for peer in (await one.status()).peers}
        assert seen[other.id]
        assert {(m.id, m.role) for m in await mine.members()} == {(mine.me, "admin"), (theirs.me, "writer")}


# scenario: both_write_at_once
async def test_both_write_at_once_and_end_equal():
    async with two_nodes() as (one, other):
        mine, theirs = await joined(one, other)

        async def write(context, name):
            for number in range(30):
                await context.put(key("contended"), f"{name} {number}".encode())
                await context.add(key("counter"), 1)

        await asyncio.gather(write(mine, "one"), write(theirs, "other"))
        await equal(mine, theirs)
        assert await mine.get(key("counter")) == (60).to_bytes(8, "little")
        orders = [[(t.id, t.outcome) for t in await context.history()] for context in (mine, theirs)]
        assert orders[0] == orders[1] and len(orders[0]) > 120


# scenario: roles_are_obeyed, member_is_removed, mistakes_are_named
async def test_roles_removal_and_who_may():
    async with two_nodes() as (one, other):
        mine, theirs = await joined(one, other)
        stream = await mine.subscribe()
        with pytest.raises(kith.PermissionDeniedError):
            await theirs.invite()
        with pytest.raises(kith.PermissionDeniedError):
            await theirs.remove(mine.me)
        await mine.set_role(theirs.me, "reader")
        assert (await event_of(stream, kith.RoleChanged)).role == "reader"

        async def reader():
            return theirs.role == "reader"

        await eventually(reader, "the other one knows that it is a reader")
        with pytest.raises(kith.PermissionDeniedError):
            await theirs.put(key("x"), b"y")
        with pytest.raises(kith.InvalidArgumentError, match="`king` is no role"):
            await mine.set_role(theirs.me, "king")
        await mine.remove(theirs.me)
        assert (await event_of(stream, kith.MemberRemoved)).member == theirs.me
        assert [member.id for member in await mine.members()] == [mine.me]

        async def out():
            return theirs.role is None

        await eventually(out, "the other one knows that it is out")
        with pytest.raises((kith.NotMemberError, kith.PermissionDeniedError, kith.ClosedError)):
            await theirs.put(key("x"), b"y")
        with pytest.raises(kith.NotMemberError):
            await mine.remove(bytes(32))


# scenario: member_leaves, last_admin_stays
async def test_a_member_leaves():
    async with two_nodes() as (one, other):
        mine, theirs = await joined(one, other)
        with pytest.raises(kith.PermissionDeniedError):
            await mine.leave()
        stream = await mine.subscribe()
        left = theirs.me
        await theirs.leave()
        assert (await event_of(stream, kith.MemberLeft)).member == left
        assert other.contexts() == []
        with pytest.raises(kith.ClosedError):
            await theirs.put(key("x"), b"y")
        await mine.leave()
        assert one.contexts() == []


# scenario: invitation_used_up, invitation_revoked
async def test_invitations_are_listed_used_up_and_revoked():
    async with two_nodes() as (one, other), await memory_node() as third:
        mine = await one.create_context()
        token = await mine.invite(role="reader", max_uses=1, expires_in=None)
        revoked = await mine.invite()
        listed = {invitation.role: invitation for invitation in await mine.invitations()}
        assert (listed["reader"].uses, listed["reader"].expires_at, listed["reader"].revoked) == (0, None, False)
        theirs = await other.join(token)
        assert theirs.role == "reader"
        assert next(i.uses for i in await mine.invitations() if i.role == "reader") == 1
        with pytest.raises(kith.InvitationUsedError):
            await third.join(token, timeout=60)
        await mine.revoke(listed["writer"].id)
        assert next(i.revoked for i in await mine.invitations() if i.role == "writer")
        with pytest.raises(kith.InvitationRevokedError):
            await third.join(revoked, timeout=60)
        damaged = token[:-1] + ("q" if token[-1] != "q" else "p")
        with pytest.raises(kith.InvitationInvalidError):
            third.inspect(damaged)
        with pytest.raises(kith.InvitationInvalidError):
            await third.join("kith1nonsense")
        assert third.contexts() == []


# scenario: joining_nobody
async def test_joining_nobody_ends_in_time_and_leaves_nothing():
    async with await memory_node() as one, await memory_node() as other:
        context = await one.create_context()
        token = await context.invite()
        await one.shutdown()
        with pytest.raises((kith.TimeoutError, kith.UnreachableError)):
            await other.join(token, timeout=0.5)
        assert other.contexts() == []


# scenario: events_are_pulled, events_after_a_cursor, streams_end_with_their_node
async def test_events_wait_replay_and_end():
    async with await memory_node() as node:
        context = await node.create_context()
        stream = await context.subscribe()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stream.next(), 0.05)
        one = await context.put(key("one"), b"1")
        first = await event_of(stream, kith.Executed)
        assert (first.transaction, first.member, first.again) == (one, context.me, False)
        assert (await event_of(stream, kith.Changed)).keys == [key("one")]
        two = await context.put(key("two"), b"2")
        async for event in context.events(after=first.cursor):
            if isinstance(event, kith.Executed):
                assert event.transaction == two and event.cursor > first.cursor
                break

        reading = asyncio.Event()

        async def read_to_the_end():
            async for _ in context.events(after=0):
                reading.set()

        reader = asyncio.create_task(read_to_the_end())
        await reading.wait()
        await node.shutdown()
        await reader
        with pytest.raises(kith.ClosedError):
            for _ in range(100):
                await stream.next()


# scenario: cancelled_wait
async def test_cancelled_waits_lose_no_event():
    async with await memory_node() as node:
        context = await node.create_context()
        stream = await context.subscribe()
        wanted, seen = [], []

        async def write():
            for number in range(40):
                # Longer than one waits: some are cancelled for certain, and others while their event comes.
                await asyncio.sleep(0.002 if number % 4 == 0 else 0)
                wanted.append(await context.put(key("x"), str(number).encode()))

        writer = asyncio.create_task(write())
        cancelled = 0
        while len(seen) < 40:
            waiting = asyncio.ensure_future(stream.next())
            done, _ = await asyncio.wait([waiting], timeout=0.0005)
            if not done:
                waiting.cancel()
                cancelled += 1
                try:
                    event = await waiting
                except asyncio.CancelledError:
                    continue
            else:
                event = waiting.result()
            if isinstance(event, kith.Executed):
                seen.append(event.transaction)
        await writer
        assert seen == wanted
        assert cancelled > 0


# scenario: cursor_expired
async def test_an_expired_cursor_is_named():
    async with await memory_node(event_retention=3) as node:
        context = await node.create_context()
        for number in range(10):
            await context.put(key("x"), str(number).encode())
        with pytest.raises(kith.CursorExpiredError):
            await context.subscribe(after=1)


class Tally(kith.Application):
    """Counts votes; each member has one."""

    def execute(self, call, state):
        if call.method != "vote":
            raise ValueError(f"no method {call.method}")
        mine = kith.StateKey.of("voted", call.member.hex())
        if state.get(mine) is not None:
            raise ValueError("you have voted")
        state.put(mine, call.arguments)
        total = kith.StateKey.of("total", call.arguments.decode())
        count = int.from_bytes(state.get(total) or b"", "little") + 1
        state.put(total, count.to_bytes(8, "little"))
        state.emit("voted", call.arguments)
        return count.to_bytes(8, "little")

    def query(self, method, arguments, state):
        return state.get(kith.StateKey.of("total", arguments.decode())) or bytes(8)


# scenario: own_application, application_emits, application_twice
async def test_an_application_in_python_runs_on_both_nodes():
    async with two_nodes() as (one, other):
        one.register("tally", Tally())
        with pytest.raises(kith.InvalidArgumentError):
            one.register("tally", Tally())
        with pytest.raises(kith.ApplicationMissingError):
            await other.create_context("tally")
        mine = await one.create_context("tally")
        stream = await mine.subscribe()
        assert (await mine.execute("vote", b"tea")).output == (1).to_bytes(8, "little")
        emitted = await event_of(stream, kith.Emitted)
        assert (emitted.name, emitted.data) == ("voted", b"tea")
        with pytest.raises(kith.RejectedError, match="you have voted"):
            await mine.execute("vote", b"tea")
        with pytest.raises(kith.UnsupportedError):
            await mine.put(key("x"), b"y")
        other.register("tally", Tally())
        theirs = await other.join(await mine.invite())
        assert (await theirs.execute("vote", b"tea")).output == (2).to_bytes(8, "little")
        await theirs.wait_synced(60)
        assert await mine.query("total", b"tea") == (2).to_bytes(8, "little")
        assert await mine.commitment() == await theirs.commitment()


# scenario: not_there_yet
async def test_what_is_not_there_yet_says_so():
    async with await memory_node() as node:
        context = await node.create_context()
        for call in (
            node.create_context(policy="majority"),
            context.get(key("x"), kith.Level.FINAL),
            context.entries(level=kith.Level.FINAL),
        ):
            with pytest.raises(kith.UnsupportedError):
                await call


# scenario: mistakes_are_named, directory_in_use, wrong_lengths, nobody_in_step, counters_and_appending
async def test_mistakes_are_named(tmp_path):
    async with await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False) as node:
        with pytest.raises(kith.BusyError):
            await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False)
        with pytest.raises(kith.InvalidArgumentError, match="not one text"):
            await kith.Node.open(None, listen="/ip4/127.0.0.1/tcp/0")
        with pytest.raises(kith.InvalidArgumentError, match="no durability"):
            await kith.Node.open(None, durability="magic")
        with pytest.raises(kith.NotFoundError):
            node.context(bytes(32))
        with pytest.raises(kith.InvalidArgumentError, match="32 bytes, not 2"):
            node.context(b"id")
        with pytest.raises(kith.ApplicationMissingError, match="unknown"):
            await node.create_context("unknown")
        with pytest.raises(kith.InvalidArgumentError):
            await node.connect("nowhere")
        context = await node.create_context()
        with pytest.raises(kith.InvalidArgumentError, match="32 bytes, not 3"):
            await context.put(b"key", b"value")
        with pytest.raises(kith.InvalidArgumentError, match="not str"):
            await context.put(key("x"), "text")
        with pytest.raises(kith.LimitExceededError, match="1048577"):
            await context.put(key("x"), bytes(1024 * 1024 + 1))
        await context.put(key("x"), bytes(1024 * 1024))
        with pytest.raises(kith.InvalidArgumentError, match="signed 64-bit"):
            await context.add(key("n"), 2**63)
        await context.add(key("n"), 2**63 - 1)
        with pytest.raises(kith.RejectedError):
            await context.add(key("n"), 1)
        with pytest.raises(kith.RejectedError, match="a counter holds 8"):
            await context.add(key("x"), 1)
        with pytest.raises(kith.InvalidArgumentError):
            await context.invite(max_uses=0)
        with pytest.raises(kith.LimitExceededError):
            await context.invite(note="x" * 129)
        with pytest.raises(kith.TimeoutError):
            await context.wait_synced(0.05)


class Idle(kith.Application):
    def execute(self, call, state):
        return b""


# scenario: closed_after_shutdown
async def test_after_shutdown_everything_is_closed(tmp_path):
    node = await memory_node()
    context = await node.create_context()
    token = await context.invite()
    said = {
        "address": node.addresses[0],
        "after": None,
        "application": Idle(),
        "batch": kith.Batch().put(key("x"), b"y"),
        "budget": 1,
        "data": b"y",
        "deadline": 1,
        "expected": None,
        "id": context.id,
        "invitation": token,
        "key": key("x"),
        "member": context.me,
        "method": "put",
        "name": "somebody",
        "number": 1,
        "path": tmp_path / "export",
        "role": "reader",
        "transaction": bytes(32),
        "value": b"y",
    }
    await node.shutdown()
    await node.shutdown()

    # They need no node that is open, or no node.
    others = {"adopt", "import_from", "inspect", "open", "shutdown"}
    tried = []
    for object in (node, context):
        for name, call in inspect.getmembers(object, inspect.ismethod):
            if name.startswith("_") or name in others:
                continue
            parameters = inspect.signature(call).parameters.values()
            needed = {p.name: said[p.name] for p in parameters if p.default is p.empty}
            tried.append(name)
            with pytest.raises(kith.ClosedError):
                answer = call(**needed)
                if hasattr(answer, "__anext__"):
                    await answer.__anext__()
                else:
                    await answer
    assert len(tried) > 40, tried


# scenario: forgotten_node
async def test_a_node_that_is_forgotten_lets_its_directory_go(tmp_path):
    node = await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False)
    context = await node.create_context()
    id = context.id
    del node, context
    gc.collect()

    async def free():
        try:
            again = await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False)
        except kith.BusyError:
            return False
        async with again:
            assert [info.id for info in again.contexts()] == [id]
        return True

    await eventually(free, "the directory is free")


@pytest.mark.parametrize("end", ["", "    await node.shutdown()\n", "    asyncio.create_task(context.events().__anext__())\n"])
async def test_a_program_ends_cleanly_however_it_leaves_its_node(tmp_path, end):
    """The interpreter ends at once after the last answer, which a thread of the library has just delivered."""
    program = (
        "import asyncio, sys, kith\n"
        "async def main():\n"
        "    node = await kith.Node.open(sys.argv[1], listen=['/ip4/127.0.0.1/tcp/0'], discovery=False)\n"
        "    context = await node.create_context()\n"
        "    await context.put(kith.StateKey.of('a', 'b'), b'kept')\n"
        f"{end}"
        "asyncio.run(main())\n"
        "print('ended')\n"
    )
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", program, str(folder), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, output) == (0, b"ended\n")
        async with await kith.Node.open(folder, listen=LOOPBACK, discovery=False) as node:
            context = node.context(node.contexts()[0].id)
            assert await context.get(kith.StateKey.of("a", "b")) == b"kept"
