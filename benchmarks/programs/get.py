"""`get` from Python, by the installed package: prints `figure get.python.us NUMBER`, the median over so many calls."""

import asyncio
import statistics
import sys
import time

import kith


async def main(directory: str, calls: int) -> None:
    options = {"listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": False}
    async with await kith.Node.open(directory, **options) as node:
        context = await node.create_context(name="bench")
        key = kith.StateKey.of("bench", "0")
        value = bytes([7]) * 100
        await context.put(key, value)
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            found = await context.get(key)
            times.append(time.perf_counter() - start)
            if found != value:
                raise SystemExit("another value")
        print(f"figure get.python.us {statistics.median(times) * 1e6}")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
