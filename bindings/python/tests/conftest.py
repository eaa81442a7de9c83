"""Runs coroutine tests, each in a loop of its own."""

import asyncio
import inspect
import os

import pytest

# Seconds; the long form of the tests for leaks takes longer.
TIME_LIMIT = 3600 if "KITH_SOAK" in os.environ else 120


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**wanted), timeout=TIME_LIMIT))
    return True
