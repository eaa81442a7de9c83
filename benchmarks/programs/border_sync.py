"""What crossing the border costs from Python without asyncio: as border.py, with `kith.sync`."""

import statistics
import sys
import time

import kith.sync as kith
from kith.sync.testing import memory_node


class Echo(kith.Application):
    def execute(self, call, state):
        return call.arguments

    def query(self, method, arguments, state):
        return arguments


def timed(body):
    start = time.perf_counter()
    answer = body()
    return time.perf_counter() - start, answer


def measure(name, calls, body, right):
    compare(calls, (name, body, right))


def compare(calls, *measured):
    """In turns: what is compared meets the same machine."""
    times = [[] for _ in measured]
    for call in range(calls + calls // 10 + 1):
        for (name, body, right), kept in zip(measured, times):
            took, answer = timed(body)
            assert right(answer), name
            if call > calls // 10:
                kept.append(took)
    for (name, _, _), kept in zip(measured, times):
        print(f"figure border.sync.{name} {statistics.median(kept) * 1e6}", flush=True)


def main(calls):
    with memory_node() as node:
        node.register("echo", Echo())
        context = node.create_context()
        own = node.create_context("echo")
        large = bytes([7]) * (64 * 1024)
        small_key, large_key = kith.StateKey.of("other", "small"), kith.StateKey.of("other", "large")
        prefix = kith.StateKey.collection("page")
        context.put(small_key, large[:100])
        context.put(large_key, large)
        for number in range(100):
            context.put(kith.StateKey.of("page", str(number)), large[:100])

        compare(
            calls,
            ("get", lambda: context.get(small_key), lambda value: value == large[:100]),
            ("get64k", lambda: context.get(large_key), lambda value: value == large),
        )
        measure("page", calls // 10, lambda: context.entries(prefix, limit=100), lambda page: len(page) == 100)
        measure("host", calls, lambda: own.query("echo", bytes(32)), lambda answer: answer == bytes(32))
        measure("execute", calls // 10, lambda: own.execute("echo", bytes(32)), lambda it: it.output == bytes(32))
        compare(
            calls // 10,
            ("put", lambda: context.put(small_key, large[:100]), lambda id: len(id) == 32),
            ("put64k", lambda: context.put(large_key, large), lambda id: len(id) == 32),
        )
        count = calls // 10
        for _ in range(count):
            context.put(small_key, large[:100])
        stream = context.subscribe(after=0)
        start = time.perf_counter()
        for _ in range(count):
            stream.next()
        print(f"figure border.sync.event {(time.perf_counter() - start) / count * 1e6}")


main(int(sys.argv[1]))
