"""An application of the host's own, in Python: a board of 8 x 8 cells on which members place pieces and move them. Every
member's node executes every move, and all of them come to the same board: the same application is there in Rust and in C.

`python board.py some-directory` is told on standard input what to do, line by line:

    create NAME            -> context ID             invite                 -> token TOKEN
    join TOKEN             -> context ID             open                   -> context ID (the first one kept here)
    call METHOD [HEX]      -> ok HEX | error KIND TEXT
    query METHOD [HEX]     -> ok HEX | error KIND TEXT
    commitment             -> commitment HEX HEX     (of the state, of the history)
    me                     -> member HEX             synced                 -> ok (once in step with a member's node)
    history                -> transaction ID OUTCOME …, then: moved COUNT (how often the order has moved since the start)
    cells                  -> entry KEY VALUE …, then: end
    quit
"""

import asyncio
import sys

import kith

SIZE = 8
PIECES = 8
ONLY_THIS_MACHINE = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]


class Refused(Exception):
    """The call is against the rules."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def cell(x, y):
    return kith.StateKey.of("board", f"{x},{y}")


def pieces(state):
    return [owner for _, owner in state.entries(kith.StateKey.collection("board"), limit=SIZE * SIZE)]


def score(state, member):
    return int.from_bytes(state.get(kith.StateKey.of("moves", member.hex())) or b"", "little")


class Board(kith.Application):
    """Raising an exception refuses the call, on every member alike."""

    def execute(self, call, state):
        match call.method:
            case "place":
                return self.place(call, state)
            case "move":
                return self.move(call, state)
            case "fault":
                raise Refused("on purpose")
            case _:
                raise Refused("unknown method")

    def place(self, call, state):
        need(len(call.arguments) == 2, "arguments")
        x, y = call.arguments
        need(x < SIZE and y < SIZE, "off the board")
        need(state.get(cell(x, y)) is None, "occupied")
        own = pieces(state).count(call.member)
        need(own < PIECES, "too many pieces")
        state.put(cell(x, y), call.member)
        return bytes([own + 1])

    def move(self, call, state):
        need(len(call.arguments) == 4, "arguments")
        need(max(call.arguments) < SIZE, "off the board")
        x1, y1, x2, y2 = call.arguments
        need(state.get(cell(x1, y1)) == call.member, "not yours")
        need(state.get(cell(x2, y2)) != call.member, "occupied")
        need(max(abs(x1 - x2), abs(y1 - y2)) == 1, "too far")
        state.delete(cell(x1, y1))
        state.put(cell(x2, y2), call.member)
        moves = (score(state, call.member) + 1).to_bytes(8, "little")
        state.put(kith.StateKey.of("moves", call.member.hex()), moves)
        state.emit("moved", call.arguments)
        return moves

    def query(self, method, arguments, state):
        match method:
            case "count":
                return len(pieces(state)).to_bytes(4, "little")
            case "score":
                need(len(arguments) == 32, "arguments")
                return score(state, arguments).to_bytes(8, "little")
            case _:
                raise Refused("unknown method")


def say(*words):
    print(*words, flush=True)


class Program:
    def __init__(self, node):
        self.node = node
        self.context = None
        self.moved = 0
        self.watchers = []

    async def watch(self, context):
        async for event in context.events(after=0):
            self.moved += isinstance(event, kith.Reordered)

    def enter(self, context):
        say("context", context.id.hex())
        self.context = context
        self.watchers.append(asyncio.create_task(self.watch(context)))

    async def obey(self, command, argument):
        if command == "create":
            return self.enter(await self.node.create_context("board", name=argument))
        if command == "join":
            return self.enter(await self.node.join(argument))
        if command == "open":
            return self.enter(self.node.context(self.node.contexts()[0].id))
        if self.context is None:
            raise kith.InvalidArgumentError("there is no context: create NAME or join TOKEN")
        method, _, digits = argument.partition(" ")
        match command:
            case "invite":
                say("token", await self.context.invite())
            case "me":
                say("member", self.context.me.hex())
            case "call":
                say("ok", (await self.context.execute(method, bytes.fromhex(digits))).output.hex())
            case "query":
                say("ok", (await self.context.query(method, bytes.fromhex(digits))).hex())
            case "synced":
                await self.context.wait_synced(60)
                say("ok")
            case "commitment":
                status = await self.context.status()
                say("commitment", status.commitment.hex(), status.digest.hex())
            case "history":
                place = None
                while page := await self.context.history(place):
                    for transaction in page:
                        say("transaction", transaction.id.hex(), transaction.outcome.value)
                    place = page[-1].place
                say("moved", self.moved)
            case "cells":
                async for entry in self.context.all_entries():
                    say("entry", entry.key.hex(), entry.value.hex())
                say("end")
            case _:
                raise kith.InvalidArgumentError(f"no such command: {command}")


async def main(directory):
    async with await kith.Node.open(directory, listen=ONLY_THIS_MACHINE, discovery=False) as node:
        node.register("board", Board())
        program = Program(node)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, _, argument = line.strip().partition(" ")
            if command == "quit":
                break
            try:
                await program.obey(command, argument)
            except kith.KithError as error:
                # "RejectedError" is "Rejected" in the other languages.
                say("error", type(error).__name__.removesuffix("Error"), error)
            except ValueError:
                say("error InvalidArgument the arguments are not hexadecimal")
        for watcher in program.watchers:
            watcher.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
