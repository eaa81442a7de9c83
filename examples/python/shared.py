"""A node that shares a context, told by lines on standard input what to do. `cargo xtask demo` runs it beside the same
program in C; try it by hand with `python shared.py some-directory`:

    create            makes a context
    invite            prints a token, to be given to `join` of the other program
    join TOKEN        joins a context
    open              takes the context that is kept in the directory
    write COUNT       writes; every line `ack ID` tells of a transaction that will survive whatever comes
    commitment        names the state: equal on all members that hold the same
    report            tells the order of all transactions, the state, and how often the order moved
    quit              (or the end of the input) ends the program
"""

import asyncio
import sys

import kith

COUNTER = kith.StateKey.of("shared", "counter")
ONLY_THIS_MACHINE = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]


def say(*words):
    print(*words, flush=True)


async def write(context, count):
    for number in range(count):
        text = f"python {number}".encode()
        # A key of our own, a key that the other one writes too, and a counter that both add to.
        say("ack", (await context.put(kith.StateKey.of("python", str(number)), text)).hex())
        say("ack", (await context.put(kith.StateKey.of("shared", f"slot {number % 5}"), text)).hex())
        await context.add(COUNTER, 1)
        say("added")
    say("done")


async def report(context):
    place = None
    while page := await context.history(place):
        for transaction in page:
            author = "me" if transaction.author == context.me else "other"
            say("transaction", transaction.id.hex(), transaction.outcome.value, transaction.method or "-", author)
        place = page[-1].place
    async for entry in context.all_entries():
        say("entry", entry.key.hex(), entry.value.hex())
    say("counter", int.from_bytes(await context.get(COUNTER) or b"", "little", signed=True))
    say("commitment", (await context.commitment()).hex())
    say("end")


async def watch(context):
    """Tells when something was inserted into the order before what was there, and what was executed again for it."""
    async for event in context.events(after=0):
        match event:
            case kith.Reordered():
                say("event reordered")
            case kith.Executed(again=True):
                say("event again")


async def main(directory):
    async with await kith.Node.open(directory, listen=ONLY_THIS_MACHINE, discovery=False) as node:
        context = None
        watcher = None
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, _, argument = line.strip().partition(" ")
            if command == "create":
                context = await node.create_context(name="shared")
                say("created", context.id.hex())
            elif command == "invite":
                say("token", await context.invite())
            elif command == "join":
                context = await node.join(argument)
                say("joined", context.id.hex())
            elif command == "open":
                context = node.context(node.contexts()[0].id)
                say("opened", context.id.hex())
            elif command == "write":
                await write(context, int(argument))
            elif command == "commitment":
                say("commitment", (await context.commitment()).hex())
            elif command == "report":
                await report(context)
            elif command == "quit":
                break
            else:
                say("error: no such command:", command)
            if context is not None and watcher is None:
                watcher = asyncio.create_task(watch(context))
        if watcher is not None:
            watcher.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
