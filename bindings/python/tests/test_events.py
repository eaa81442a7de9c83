"""Every kind of event, with all that it says: those that are kept, from a history in which each has happened, and those that pass."""

import dataclasses
import pathlib

import kith
from kith.testing import Hub, memory_node, two_nodes

from test_node import LOOPBACK, event_of, key

HISTORY = pathlib.Path(__file__).resolve().parents[2] / "events"

KEPT = {
    kith.Executed: ["transaction", "member", "again"],
    kith.Changed: ["keys"],
    kith.Reordered: ["first"],
    kith.Rejected: ["transaction", "reason"],
    kith.MemberJoined: ["member", "role"],
    kith.MemberLeft: ["member"],
    kith.MemberRemoved: ["member"],
    kith.RoleChanged: ["member", "role"],
    kith.Renamed: ["member", "name"],
    kith.Equivocation: ["member", "one", "other"],
    kith.Blocked: ["cause"],
    kith.Emitted: ["transaction", "name", "data"],
    kith.Closed: ["reason"],
    kith.KeyTrouble: ["member", "transaction", "what"],
    kith.KeyViolation: ["member", "transaction"],
}


def shown(value):
    if isinstance(value, list):
        assert all(type(key) is kith.StateKey for key in value)
        return ",".join(bytes(key).hex() for key in value)
    if isinstance(value, bytes):
        return value.hex()
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else value


def line(event):
    fields = KEPT[type(event)]
    assert [field.name for field in dataclasses.fields(event)] == ["cursor", *fields]
    said = [f"{name}={shown(getattr(event, name))}" for name in fields]
    return " ".join([str(event.cursor), type(event).__name__, *said])


# scenario: every_kept_event
async def test_every_kind_of_event_that_is_kept_comes_with_all_it_says(tmp_path):
    wanted = (HISTORY / "events.txt").read_text(encoding="utf-8").splitlines()
    await kith.Node.import_from(HISTORY / "history.kith", bytes([7] * 32), tmp_path / "node")
    async with await kith.Node.open(tmp_path / "node", listen=LOOPBACK, discovery=False) as node:
        (info,) = node.contexts()
        events = [event async for event in await node.context(info.id).subscribe(after=0)]
    assert [line(event) for event in events] == wanted
    assert {type(event) for event in events} == set(KEPT)
    troubles = [event.what for event in events if isinstance(event, kith.KeyTrouble)]
    assert all("nothing is to be done" in what for what in troubles)
    assert "remove the member" in troubles[0] and "rotate the keys" in troubles[-1]


# scenario: events_that_pass
async def test_who_comes_and_goes_and_how_far_catching_up_is():
    hub = Hub()
    async with two_nodes(hub) as (one, other):
        mine = await one.create_context()
        theirs = await other.join(await mine.invite())
        stream = await theirs.subscribe()
        hub.partition(one, other)
        gone = await event_of(stream, kith.PeerDisconnected)
        assert gone == kith.PeerDisconnected(gone.cursor, peer=one.id, reason="gone: the peers were partitioned")
        for number in range(30):
            await mine.put(key("x"), bytes([number]))
        hub.heal(one, other)
        there = await event_of(stream, kith.PeerConnected)
        assert there == kith.PeerConnected(there.cursor, peer=one.id, member=mine.me)
        done = total = 0
        while total < 30 or done < total:
            progress = await event_of(stream, kith.SyncProgress)
            done, total = progress.done, progress.total
            assert progress.peer == one.id and 0 <= done <= total
        synced = await event_of(stream, kith.Synced)
        assert synced == kith.Synced(synced.cursor, peer=one.id)


# scenario: events_that_pass
async def test_who_reads_too_slowly_is_told_how_many_events_are_missing():
    async with await memory_node(event_retention=3) as node:
        context = await node.create_context()
        await context.put(key("x"), b"before")
        stream = await context.subscribe()
        for number in range(20):
            await context.put(key("x"), bytes([number]))
        lagged = await stream.next()
        assert lagged == kith.Lagged(lagged.cursor, missed=17)
        after = await stream.next()
        assert isinstance(after, kith.Executed) and after.cursor == lagged.cursor + 1
