"""Scenarios of bindings/scenarios.toml that no other test shows."""

import asyncio
import unicodedata

import pytest

import kith
from kith.testing import Hub, memory_node, two_members, two_nodes

from test_node import LOOPBACK, equal, event_of, eventually, key


def at(path, **options):
    return kith.Node.open(path, listen=LOOPBACK, discovery=False, **options)


# scenario: directory_that_cannot_be
async def test_a_file_in_the_way_is_a_failure_of_the_store(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(kith.StorageError):
        await at(tmp_path / "file" / "below")


# scenario: damaged_directory
async def test_a_damaged_file_is_told_until_it_is_mended(tmp_path):
    async with await at(tmp_path / "node") as node:
        context = await node.create_context()
        id = context.id
    mark = tmp_path / "node" / "high-water"
    good = mark.read_bytes()
    mark.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(kith.CorruptError):
        await at(tmp_path / "node")
    mark.write_bytes(good)
    async with await at(tmp_path / "node") as node:
        assert node.context(id).id == id


# scenario: node_in_memory
async def test_a_node_without_a_directory_keeps_nothing():
    async with await at(None) as node:
        context = await node.create_context()
        await context.put(key("x"), b"y")
        assert await context.get(key("x")) == b"y"
    async with await at(None) as node:
        assert node.contexts() == []
        with pytest.raises(kith.NotFoundError):
            node.context(context.id)


# scenario: big_values
async def test_a_mebibyte_crosses_both_ways_and_no_byte_more():
    async with await memory_node() as node:
        context = await node.create_context()
        large = bytes(range(256)) * 4096
        await context.put(key("large"), large)
        assert await context.get(key("large")) == large
        with pytest.raises(kith.LimitExceededError, match="1048577"):
            await context.put(key("large"), large + b"x")
        assert await context.get(key("large")) == large


# scenario: unicode
@pytest.mark.parametrize("text", ["", "ä ö ü", "漢字", "👩‍👩‍👧‍👦", "e\u0301", "עברית", "a\u202eb"])
async def test_texts_come_back_as_they_were(text):
    async with await memory_node() as node:
        context = await node.create_context(name=text)
        await context.set_display_name(text)
        await context.put(key(text), text.encode())
        (member,) = await context.members()
        # Scalar by scalar: nobody has normalised it.
        assert (context.name, member.name, node.inspect(await context.invite(note=text)).note) == (text, text, text)
        assert await context.get(key(text)) == text.encode()
        if unicodedata.normalize("NFC", text) != text:
            assert context.name != unicodedata.normalize("NFC", text)


# scenario: callers_64
async def test_sixty_four_callers_each_get_their_own_answer():
    async with await memory_node() as node:
        context = await node.create_context()

        async def caller(number):
            await context.put(key(str(number)), str(number).encode())
            counted = await context.add(key("counter"), 1)
            assert await context.get(key(str(number))) == str(number).encode()
            return counted

        assert sorted(await asyncio.gather(*map(caller, range(64)))) == list(range(1, 65))


# scenario: over_sockets
async def test_two_nodes_of_one_process_meet_over_sockets():
    async with await at(None) as one, await at(None) as other:
        assert one.addresses[0].endswith(one.id) and one.addresses != other.addresses
        mine = await one.create_context()
        theirs = await other.join(await mine.invite())
        await theirs.put(key("x"), b"y")

        async def came():
            return await mine.get(key("x")) == b"y"

        await eventually(came, "it comes over")


# scenario: partition_heals
async def test_who_was_cut_off_comes_together_again():
    hub = Hub()
    async with two_nodes(hub) as (one, other):
        mine = await one.create_context()
        theirs = await other.join(await mine.invite())
        stream = await mine.subscribe()
        hub.partition(one, other)
        await event_of(stream, kith.PeerDisconnected)
        await mine.put(key("mine"), b"x")
        await theirs.put(key("theirs"), b"y")
        assert await mine.get(key("theirs")) is None
        hub.heal(one, other)
        await equal(mine, theirs)
        assert await mine.get(key("theirs")) == b"y"


# scenario: invitation_expired
async def test_an_invitation_whose_time_is_over_is_named():
    async with two_nodes() as (one, other):
        mine = await one.create_context()
        token = await mine.invite(expires_in=0)
        with pytest.raises(kith.InvitationExpiredError):
            await other.join(token, timeout=60)
        assert other.contexts() == []


# scenario: invitation_garbage
@pytest.mark.parametrize(
    "token", ["", "kith1", "kith1nonsense", "http://example.org", "kith1" + "q" * 10_000, "k\0th1", "ķith1qqqq"]
)
async def test_garbage_is_no_invitation(token):
    async with await memory_node() as node:
        with pytest.raises(kith.InvitationInvalidError):
            node.inspect(token)
        with pytest.raises(kith.InvitationInvalidError):
            await node.join(token)
        good = str(await (await node.create_context()).invite())
        with pytest.raises(kith.InvitationInvalidError):
            node.inspect(good[:-1] + ("q" if good[-1] != "q" else "p"))


# scenario: invitation_of_another_version
def test_an_invitation_of_another_version_is_named():
    with pytest.raises(kith.VersionMismatchError):
        kith.invitation(b"\x09nonsense")


# scenario: events_after_a_restart
async def test_a_cursor_outlives_its_node(tmp_path):
    async with await at(tmp_path) as node:
        context = await node.create_context()
        stream = await context.subscribe()
        await context.put(key("one"), b"1")
        first = await event_of(stream, kith.Executed)
        two = await context.put(key("two"), b"2")
    async with await at(tmp_path) as node:
        stream = await node.context(context.id).subscribe(after=first.cursor)
        assert (await event_of(stream, kith.Executed)).transaction == two
