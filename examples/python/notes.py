"""A shared notebook on the terminal: `python notes.py DIRECTORY`, then `help`. Two people try it in two terminals: one says
`create home` and `invite`, the other one `join TOKEN`, and both write and list.

A note lies under the key of its title in the collection "notes"; its value is the title, a line's end, and the text. The
programs in C and Rust keep it in the same way, so that they share notebooks.
"""

import asyncio
import json
import sys

import kith

HELP = """\
create NAME          a new notebook
invite [ROLE]        a token for one more: admin, writer (the usual) or reader
join TOKEN           to the notebook of somebody else
write TITLE TEXT     a note; a title is one word
read TITLE           one note
list                 all titles
watch                says from now on what happens
members              who is there
name NAME            what you are called here
remove MEMBER        by the beginning of an id, or by name
leave                deletes the notebook here
status               who is connected, and who lacks what
quit"""


def say(*words):
    print(*words, flush=True)


def shown(text):
    """Text of other people, without what would steer the terminal."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def show_progress(done, total):
    filled = done * 40 // total if total else 40
    print(f"\r[{'#' * filled:40}] {done} of {total}", end="", file=sys.stderr, flush=True)


def words_for(event):
    match event:
        case kith.Changed():
            return "notes changed"
        case kith.MemberJoined():
            return "somebody joined"
        case kith.MemberLeft():
            return "somebody left"
        case kith.MemberRemoved():
            return "somebody was removed"
        case kith.RoleChanged():
            return "a role changed"
        case kith.Renamed():
            return f"a new name: {event.name}"
        case kith.PeerConnected():
            return f"connected: {event.peer}"
        case kith.PeerDisconnected():
            return f"disconnected: {event.peer}"
        case kith.Rejected() | kith.Closed():
            return f"{'does not count' if isinstance(event, kith.Rejected) else 'closed'}: {event.reason}"
        case kith.Blocked():
            return f"stands still: {event.cause}"
        case kith.Equivocation():
            return "two histories"
    return None


class Notebook:
    def __init__(self, node):
        self.node = node
        kept = node.contexts()
        self.context = node.context(kept[0].id) if kept else None
        self.watching = None

    async def create(self, name):
        self.context = await self.node.create_context(name=name)
        say("created")

    async def invite(self, role):
        if role not in ("", "admin", "writer", "reader"):
            return say("a role is admin, writer or reader")
        token = await self.context.invite(role or "writer")
        if sys.stdout.isatty():
            # White on black, whatever the colours of the terminal are.
            for line in token.qr().splitlines():
                say(f"\033[97;40m{line}\033[0m")
        say("token", token)

    async def join(self, token):
        terminal = sys.stderr.isatty()
        try:
            self.context = await self.node.join(token, on_progress=show_progress if terminal else None)
        finally:
            if terminal:
                print(file=sys.stderr)
        say("joined", shown(self.context.name))

    async def write(self, argument):
        title, _, text = argument.partition(" ")
        if not title or not text:
            return say("write TITLE TEXT")
        await self.context.put(kith.StateKey.of("notes", title), f"{title}\n{text}".encode())
        say("written")

    async def read(self, title):
        note = await self.context.get(kith.StateKey.of("notes", title))
        if note is None:
            raise kith.NotFoundError("there is no such note")
        say(shown(note.split(b"\n", 1)[-1]))

    async def list(self, _):
        async for entry in self.context.all_entries(kith.StateKey.collection("notes")):
            say(shown(entry.value.split(b"\n", 1)[0]))

    async def watch(self, _):
        if self.watching is not None:
            self.watching.cancel()
        events = await self.context.subscribe()

        async def tell():
            async for event in events:
                if words := words_for(event):
                    say("*", shown(words))

        self.watching = asyncio.create_task(tell())

    async def members(self, _):
        for member in await self.context.members():
            you = " (you)" if member.id == self.context.me else ""
            say(f"{member.id.hex()[:8]} {member.role} {shown(member.name)}{you}")

    async def name(self, name):
        await self.context.set_display_name(name)
        say("named")

    async def remove(self, who):
        meant = [m for m in await self.context.members() if who and (m.id.hex().startswith(who) or m.name == who)]
        if len(meant) != 1:
            return say(len(meant), "members are meant")
        await self.context.remove(meant[0].id)
        say("removed")

    async def leave(self, _):
        await self.context.leave()
        self.context = None
        say("left")

    async def status(self, _):
        status = await self.context.status()
        peers = [
            {"peer": peer.peer, "equal": peer.equal, "lacking": peer.lacking, "lacks": peer.lacks} for peer in status.peers
        ]
        say(json.dumps({"transactions": status.transactions, "commitment": status.commitment.hex(), "peers": peers}))


COMMANDS = ("create", "invite", "join", "write", "read", "list", "watch", "members", "name", "remove", "leave", "status")


async def main(directory):
    async with await kith.Node.open(directory) as node:
        book = Notebook(node)
        loop = asyncio.get_running_loop()
        while True:
            if sys.stdin.isatty():
                print("> ", end="", flush=True)
            line = await loop.run_in_executor(None, sys.stdin.readline)
            command, _, argument = line.strip().partition(" ")
            if not line or command == "quit":
                break
            if command == "help":
                say(HELP)
            elif command and command not in COMMANDS:
                say(f"no such command: {command} (try help)")
            elif command and book.context is None and command not in ("create", "join"):
                say("there is no notebook yet: create NAME or join TOKEN")
            elif command:
                try:
                    await getattr(book, command)(argument)
                except kith.KithError as error:
                    say("error:", shown(str(error)))
        if book.watching is not None:
            book.watching.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: notes.py DIRECTORY")
    asyncio.run(main(sys.argv[1]))
