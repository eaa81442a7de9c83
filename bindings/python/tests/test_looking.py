"""Looking at what is kept: checks against the history, where a value comes from, what calls emitted."""

import pytest

import kith
from kith.testing import Hub, memory_node

from test_node import equal, eventually, joined, key


# scenario: what_is_kept_is_checked
async def test_what_is_kept_is_what_the_history_gives():
    async with await memory_node() as node:
        context = await node.create_context()
        for number in range(5):
            await context.put(key(str(number)), b"x")
        await context.delete(key("0"))
        report = await context.verify()
        assert report == kith.Verification(transactions=8, executed=8, pending=0, keys=5, difference=None)


class Fickle(kith.Application):
    """Not what applications must be: it answers otherwise when it is asked again."""

    answer = b"first"

    def execute(self, call, state):
        state.put(key("said"), self.answer)
        return self.answer


# scenario: what_is_kept_is_checked
async def test_an_application_that_answers_otherwise_is_found():
    async with await memory_node() as node:
        application = Fickle()
        node.register("fickle", application)
        context = await node.create_context("fickle")
        receipt = await context.execute("say")
        assert (await context.verify()).difference is None
        application.answer = b"second"
        difference = (await context.verify()).difference
        assert (difference.part, difference.transaction) == (kith.Part.RECEIPT, receipt.transaction)
        assert difference.place == (await context.transaction(receipt.transaction)).place
        assert difference.place[-32:] == difference.transaction
        assert difference.kept != difference.recomputed and len(difference.kept) == len(difference.recomputed) == 32
        assert "receipt" in str(difference) and receipt.transaction.hex() in str(difference)


def test_every_part_has_the_librarys_name():
    assert [part.value for part in kith.Part] == kith._native.parts()


# scenario: writers_of_a_key
async def test_a_key_is_explained_by_its_writers():
    hub = Hub()
    async with await memory_node(hub) as one, await memory_node(hub) as other:
        mine, theirs = await joined(one, other)
        first = await mine.put(key("x"), b"1")
        await part(hub, one, other, mine, theirs)
        # Neither knows of the other's.
        both = {await mine.put(key("x"), b"2"), await theirs.put(key("x"), b"3")}
        hub.heal(one, other)
        await equal(mine, theirs)
        last = await mine.delete(key("x"))
        page = await mine.explain(key("x"))
        assert page[0].transaction.id == first and {e.transaction.id for e in page[1:3]} == both
        assert page[3].transaction.id == last and len(page) == 4
        assert [e.written for e in page] == [kith.Written.VALUE] * 3 + [kith.Written.REMOVED]
        assert [e.unseen for e in page] == [False, False, True, False]
        assert len({e.hash for e in page[:3]}) == 3 and len(page[0].hash) == 32 and page[3].hash is None
        assert await mine.explain(key("x"), page[1].transaction.place, limit=1) == [page[2]]
        assert await mine.explain(key("nothing")) == []
        with pytest.raises(kith.InvalidArgumentError, match="48 bytes, not 3"):
            await mine.explain(key("x"), b"abc")
        with pytest.raises(kith.InvalidArgumentError, match="limit is -1"):
            await mine.explain(key("x"), limit=-1)


async def test_who_was_rejected_for_what_it_read_is_among_them():
    hub = Hub()
    async with await memory_node(hub) as one, await memory_node(hub) as other:
        mine, theirs = await joined(one, other)
        await mine.put(key("seat"), b"free")
        await part(hub, one, other, mine, theirs)
        both = {
            await context.compare_and_set(key("seat"), b"free", name)
            for context, name in ((mine, b"mine"), (theirs, b"theirs"))
        }
        hub.heal(one, other)

        async def both_hold_both():
            return [len(await context.explain(key("seat"))) for context in (mine, theirs)] == [3, 3]

        await eventually(both_hold_both, "both hold both")
        taken, refused = (await theirs.explain(key("seat")))[1:]
        assert {taken.transaction.id, refused.transaction.id} == both
        assert (taken.written, refused.written) == (kith.Written.VALUE, kith.Written.NOTHING)
        assert refused.transaction.outcome is kith.Outcome.REJECTED and refused.hash is None


class Talking(kith.Application):
    """Emits what it is told."""

    def execute(self, call, state):
        state.emit("said", call.arguments)
        state.emit("again", b"")
        return b""


async def test_a_transaction_tells_what_its_call_emitted():
    async with await memory_node() as node:
        node.register("talking", Talking())
        context = await node.create_context("talking")
        receipt = await context.execute("say", b"hello")
        transaction = await context.transaction(receipt.transaction)
        assert transaction.emitted == [kith.Message("said", b"hello"), kith.Message("again", b"")]
        assert (await context.history())[0].emitted == []


async def part(hub, one, other, mine, theirs):
    """Lets two nodes have the same and keeps them apart; they know that they are."""
    await equal(mine, theirs)
    hub.partition(one, other)

    async def apart():
        return (await mine.status()).peers == [] and (await theirs.status()).peers == []

    await eventually(apart, "they are apart")
