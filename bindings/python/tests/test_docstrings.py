"""The examples in the package's documentation, run: those of the asynchronous package in a loop, those of `kith.sync` as they are."""

import ast
import asyncio
import contextlib
import doctest
import inspect

import pytest

import kith
import kith.sync
import kith.testing

AWAITING = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Runner(doctest.DocTestRunner):
    """Runs examples that may `await`, in one loop."""

    def __init__(self, loop):
        super().__init__(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
        self.loop = loop
        self.said = []

    def carry_out(self, code, names):
        done = eval(code, names)
        if inspect.iscoroutine(done):
            self.loop.run_until_complete(asyncio.wait_for(done, 60))

    def run_test(self, test):
        # What `doctest` carries its examples out with.
        doctest.exec = self.carry_out
        try:
            return self.run(test, compileflags=AWAITING, out=self.said.append, clear_globs=False)
        finally:
            del doctest.exec


def documented(package):
    """Every documented object of a package's public names, with its own name."""
    for module in (package, package.testing):
        for name in getattr(module, "__all__", sorted(vars(module))):
            thing = getattr(module, name, None)
            if name.startswith("_") or not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            # What `kith.sync` has from `kith` is tried there.
            if not thing.__module__.startswith(package.__name__):
                continue
            yield name, thing
            for method, value in vars(thing).items() if inspect.isclass(thing) else ():
                value = getattr(value, "__func__", value)
                if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{method}", value


def collected(package):
    finder = doctest.DocTestFinder(recurse=False)
    found = {"package": finder.find(package, package.__name__)}
    for name, thing in documented(package):
        found.setdefault(name, finder.find(thing, name, module=inspect.getmodule(package)))
    return {name: tests[0] for name, tests in found.items() if tests and tests[0].examples}


ASYNCHRONOUS, BLOCKING = collected(kith), collected(kith.sync)


def check(test, loop, names):
    runner = Runner(loop)
    test.globs = dict(names)
    outcome = runner.run_test(test)
    assert outcome.attempted > 0
    assert outcome.failed == 0, "".join(runner.said)


@pytest.mark.parametrize("name", sorted(ASYNCHRONOUS))
def test_an_example(name):
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        node = loop.run_until_complete(kith.testing.memory_node(kith.testing.Hub()))
        context = loop.run_until_complete(node.create_context())
        try:
            check(ASYNCHRONOUS[name], loop, {"kith": kith, "node": node, "context": context})
        finally:
            loop.run_until_complete(node.shutdown())


@pytest.mark.parametrize("name", sorted(BLOCKING))
def test_an_example_without_asyncio(name):
    with kith.sync.testing.memory_node(kith.sync.testing.Hub()) as node:
        check(BLOCKING[name], None, {"kith": kith.sync, "node": node, "context": node.create_context()})


def test_every_call_has_an_example_and_both_packages_have_the_same():
    for name in ("Node", "Context", "Events", "StateKey"):
        for method in [name, *(f"{name}.{method}" for method in vars(getattr(kith, name)) if method[0] != "_")]:
            assert method in ASYNCHRONOUS, f"{method} has no example"
    translated = {name for name in ASYNCHRONOUS if name.split(".")[0] in ("Node", "Context", "Events")}
    assert translated and translated <= set(BLOCKING)


def test_an_example_that_is_wrong_is_seen():
    """The control."""
    wrong = doctest.DocTestParser().get_doctest(">>> await sleep(0)\n>>> 1 + 1\n3\n", {}, "wrong", None, None)
    with contextlib.closing(asyncio.new_event_loop()) as loop, pytest.raises(AssertionError, match="Got:\n +2"):
        check(wrong, loop, {"sleep": asyncio.sleep})
