"""What directories and contexts are sealed under, and what may be known of it; relays, which see nothing of it."""

import os

import pytest

import kith
from kith.testing import memory_node, two_nodes

from test_node import LOOPBACK, equal, eventually, key

FIRST, SECOND = os.urandom(32), os.urandom(32)


def here(path, **options):
    return kith.Node.open(path, listen=LOOPBACK, discovery=False, **options)


def content(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# scenario: storage_key_required
@pytest.mark.parametrize("right", [FIRST, "a passphrase"])
@pytest.mark.parametrize("storage", ["sled", "redb"])
async def test_only_its_key_opens_a_directory(tmp_path, storage, right):
    async with await here(tmp_path / "node", storage=storage, storage_key=right) as node:
        context = await node.create_context()
        await context.put(key("x"), b"y")
        status = await node.status()
        assert (status.sealed, status.key_file) == (True, False)
    before = content(tmp_path / "node")
    for wrong in (SECOND, "another passphrase", None):
        with pytest.raises(kith.KeyRequiredError):
            await here(tmp_path / "node", storage_key=wrong)
    assert content(tmp_path / "node") == before
    async with await here(tmp_path / "node", storage_key=right) as node:
        assert await node.context(context.id).get(key("x")) == b"y"


async def test_without_a_key_there_is_a_file_with_one(tmp_path):
    async with await here(tmp_path / "node") as node:
        status = await node.status()
        assert (status.sealed, status.key_file) == (False, True)
        await node.change_storage_key(FIRST)
        status = await node.status()
        assert (status.sealed, status.key_file) == (True, False)
    with pytest.raises(kith.KeyRequiredError):
        await here(tmp_path / "node")


async def test_keys_that_are_none_are_named(tmp_path):
    for wrong in (b"", b"abc", bytes(33), "", "x" * 1025):
        with pytest.raises(kith.InvalidArgumentError):
            await here(tmp_path / "node", storage_key=wrong)
    with pytest.raises(kith.InvalidArgumentError, match="32 bytes, not 3"):
        await here(tmp_path / "node", storage_key=b"abc")
    assert not (tmp_path / "node").exists()


# scenario: storage_key_changed
async def test_the_key_is_changed_while_the_node_goes_on(tmp_path):
    async with await here(tmp_path / "node", storage_key=FIRST) as node:
        context = await node.create_context()
        await context.put(key("before"), b"1")
        await node.change_storage_key("a passphrase")
        await context.put(key("after"), b"2")
        with pytest.raises(kith.InvalidArgumentError, match="32 bytes, not 3"):
            await node.change_storage_key(b"abc")
    for old in (FIRST, None):
        with pytest.raises(kith.KeyRequiredError):
            await here(tmp_path / "node", storage_key=old)
    async with await here(tmp_path / "node", storage_key="a passphrase") as node:
        context = node.context(context.id)
        assert [await context.get(key(name)) for name in ("before", "after")] == [b"1", b"2"]
        assert (await context.verify()).difference is None
    with pytest.raises(kith.ClosedError):
        await node.change_storage_key(FIRST)
    async with await memory_node() as node:
        with pytest.raises(kith.UnsupportedError):
            await node.change_storage_key(FIRST)


# scenario: export_import
async def test_a_backup_reads_and_signs_once_its_owner_says_so(tmp_path):
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    async with await here(tmp_path / "node", storage="sled", storage_key=FIRST) as node:
        context = await node.create_context()
        await context.put(key("x"), b"y")
        commitment = await context.commitment()
        exported = await node.export(backup, "for the backup")
        assert exported.records > 0 and exported.bytes > exported.records and not exported.moved
        assert backup.stat().st_mode & 0o777 == 0o600
        with pytest.raises(kith.InvalidArgumentError, match="is there already"):
            await node.export(backup, "for the backup")
        id, name = context.id, node.id
    (tmp_path / "garbage").write_bytes(b"this is no export of a node")
    with pytest.raises(kith.KeyRequiredError):
        await kith.Node.import_from(backup, FIRST, restored)
    with pytest.raises(kith.InvalidArgumentError):
        await kith.Node.import_from(tmp_path / "garbage", "for the backup", restored)
    with pytest.raises(kith.NotFoundError):
        await kith.Node.import_from(tmp_path / "nothing", "for the backup", restored)
    with pytest.raises(kith.NotFoundError):
        await kith.Node.adopt(restored)
    assert not restored.exists()
    imported = await kith.Node.import_from(backup, "for the backup", restored, storage="redb", storage_key=SECOND)
    assert imported == exported
    with pytest.raises(kith.InvalidArgumentError, match="not empty"):
        await kith.Node.import_from(backup, "for the backup", restored)
    async with await here(restored, storage_key=SECOND) as node:
        status = await node.status()
        assert (node.id, status.copied, status.sealed, status.storage) == (name, True, True, "redb")
        context = node.context(id)
        assert await context.commitment() == commitment and await context.get(key("x")) == b"y"
        with pytest.raises(kith.BlockedError):
            await context.put(key("x"), b"z")
        with pytest.raises(kith.BusyError):
            await kith.Node.adopt(restored, SECOND)
    with pytest.raises(kith.KeyRequiredError):
        await kith.Node.adopt(restored)
    await kith.Node.adopt(restored, SECOND)
    async with await here(restored, storage_key=SECOND) as node:
        assert not (await node.status()).copied
        await node.context(id).put(key("x"), b"z")
    # The other way to say so.
    await kith.Node.import_from(backup, "for the backup", tmp_path / "adopted", adopt=True)
    async with await here(tmp_path / "adopted") as node:
        assert not (await node.status()).copied
        await node.context(id).put(key("x"), b"z")


async def reads(context, name, value):
    async def came():
        return await context.get(key(name)) == value

    await eventually(came, f"{name} comes")


# scenario: rotate_keys
async def test_new_keys_are_for_all_that_is_sent_from_then_on_and_the_others_read_on():
    async with two_nodes() as (one, other):
        mine = await one.create_context()
        theirs = await other.join(await mine.invite())
        await mine.put(key("before"), b"1")
        before = (await mine.security()).epoch
        await mine.rotate_keys()
        after = (await mine.security()).epoch
        assert before is not None and after is not None and before != after
        await mine.put(key("after"), b"2")
        await reads(theirs, "after", b"2")
        assert (await theirs.security()).epoch == after
        assert await theirs.get(key("before")) == b"1"
        await theirs.rotate_keys()
        await theirs.put(key("theirs"), b"3")
        await reads(mine, "theirs", b"3")
        open_to_all = await one.create_context(encryption="off")
        with pytest.raises(kith.UnsupportedError):
            await open_to_all.rotate_keys()


# scenario: security_report
async def test_it_is_told_who_can_read_and_what_is_pending():
    async with two_nodes() as (one, other):
        mine = await one.create_context()
        await mine.put(key("x"), b"1")
        alone = await mine.security()
        assert alone.suite == "x25519" and alone.epoch is not None and len(alone.epoch) == 32
        assert (alone.members_able, alone.members, alone.pending) == (1, 1, None)

        async def older():
            return (await mine.security()).age > alone.age

        await eventually(older, "the epoch ages")
        theirs = await other.join(await mine.invite())
        joined = await mine.security()
        assert (joined.members_able, joined.members, joined.pending) == (1, 2, "somebody has joined")
        assert joined.epoch == alone.epoch
        await mine.put(key("x"), b"2")
        both = await mine.security()
        assert (both.members_able, both.members, both.pending) == (2, 2, None)
        assert both.epoch != alone.epoch
        await reads(theirs, "x", b"2")
        for context in (mine, theirs):
            security = await context.security()
            assert (security.epoch, security.violations, security.unopened) == (both.epoch, 0, 0)
            assert (await context.status()).unopened == 0


# scenario: encryption_chosen
@pytest.mark.parametrize("encryption", ["off", "x25519", "xwing"])
async def test_each_suite_works_between_two_nodes(encryption):
    async with two_nodes() as (one, other):
        mine = await one.create_context(encryption=encryption)
        await mine.put(key("before"), b"1")
        theirs = await other.join(await mine.invite())
        assert await theirs.get(key("before")) == b"1"
        await mine.put(key("mine"), b"2")
        await theirs.put(key("theirs"), b"3")
        await reads(theirs, "mine", b"2")
        await reads(mine, "theirs", b"3")
        await equal(mine, theirs)
        for context in (mine, theirs):
            security = await context.security()
            assert (security.suite, security.epoch is None) == (encryption, encryption == "off")


async def test_a_suite_that_is_none_is_named():
    async with await memory_node() as node:
        with pytest.raises(kith.InvalidArgumentError, match="`rot13` is no encryption"):
            await node.create_context(encryption="rot13")
        assert node.contexts() == []


async def test_the_status_says_how_it_stands_with_relays():
    async with await here(None) as gone:
        nobody = gone.addresses[0]
    async with await here(None) as none:
        async with await here(None, relays=[none.addresses[0], nobody]) as node:

            async def answered():
                return all(relay.reason is not None for relay in (await node.status()).relays)

            await eventually(answered, "both relays are asked")
            plain, absent = (await node.status()).relays
            # A node is no relay; and where nobody listens there is none.
            assert (plain.relay, absent.relay) == (none.addresses[0], nobody)
            assert plain.reason is kith.ErrorKind.UNSUPPORTED
            assert absent.reason is kith.ErrorKind.UNREACHABLE and absent.last_failure
            assert (absent.address, absent.longest, absent.most_bytes) == (None, None, None)
            assert not any(peer.relayed for peer in (await node.status()).peers)
        for wrong in ("nowhere", none.addresses[0].partition("/p2p/")[0]):
            with pytest.raises(kith.InvalidArgumentError):
                await here(None, relays=[wrong])
        with pytest.raises(kith.LimitExceededError, match="5 relays"):
            await here(None, relays=[nobody] * 5)
        # What the others of these do is shown in Rust; here they are taken.
        async with await here(None, through_relays=False, hole_punching=False, autonat=False, gossip=False) as node:
            assert (await node.status()).relays == []
