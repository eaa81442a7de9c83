"""What this process uses, for tests that look for leaks: exact where the system allows it."""

import ctypes
import gc
import os
import sys
import time


class _Mallinfo2(ctypes.Structure):
    """What glibc's `mallinfo2` answers."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]


_LIBC = ctypes.CDLL(None)
_LIBC.mallinfo2.restype = _Mallinfo2


class Usage:
    """What is used now. `heap` counts what is allocated and not freed outside of Python's own small objects, of which
    `blocks` has the number; so neither depends on what the allocators keep for later."""

    def __init__(self):
        gc.collect()
        info = _LIBC.mallinfo2()
        self.heap = info.uordblks + info.hblkhd
        self.blocks = sys.getallocatedblocks()
        self.handles = len(os.listdir("/proc/self/fd"))
        self.threads = len(os.listdir("/proc/self/task"))
        self.begun = time.monotonic()

    def check(self, what, count, *, heap, blocks=2_000, handles=2, threads=8):
        """Prints what has come since, and fails if it is more than may."""
        now = Usage()
        print(
            f"{count} {what} in {now.begun - self.begun:.1f} s: heap {(now.heap - self.heap) / 1024:+.0f} KiB, "
            f"{now.blocks - self.blocks:+d} Python blocks, handles {self.handles} → {now.handles}, "
            f"threads {self.threads} → {now.threads}"
        )
        assert now.heap - self.heap <= heap, f"{what}: {now.heap - self.heap} bytes stayed on the heap"
        assert now.blocks - self.blocks <= blocks, f"{what}: {now.blocks - self.blocks} Python blocks stayed"
        assert now.handles - self.handles <= handles, f"{what}: {self.handles} file handles, then {now.handles}"
        assert now.threads - self.threads <= threads, f"{what}: {self.threads} threads, then {now.threads}"
