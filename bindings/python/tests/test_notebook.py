"""What the README says of notebooks: a kernel as Jupyter starts one, and cells that it is given one after the other."""

import pytest
from jupyter_client.manager import start_new_kernel

OPTIONS = "listen=['/ip4/127.0.0.1/tcp/0'], discovery=False"

# Each with what it shows.
CELLS = [
    ("import asyncio, kith\nimport kith.sync as blocking", None),
    (f"node = await kith.Node.open('alice', {OPTIONS})\ncontext = await node.create_context(name='notes')\ncontext.name", "'notes'"),
    ("today = kith.StateKey.of('notes', 'today')\nevents = await context.subscribe()\nid = await context.put(today, b'milk')", None),
    ("async for event in events:\n    if isinstance(event, kith.Changed):\n        break\nevent.keys == [today]", "True"),
    # The loop of the notebook runs between two cells, and what was begun in one goes on.
    ("task = asyncio.ensure_future(context.put(today, b'bread'))", None),
    ("id = await task\nawait context.get(today)", "b'bread'"),
    # The blocking form, while the notebook's own loop runs.
    (f"bob = blocking.Node.open('bob', {OPTIONS})\ncopy = bob.join(await context.invite())\ncopy.get(today)", "b'bread'"),
    ("copy.put(today, b'soup')\nbob.shutdown()", None),
    ("await node.shutdown()", None),
]


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    # Nothing of the person's own configuration, and nothing left there.
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path), startup_timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def shown(client, code):
    """How a cell ends, and what it shows as its value."""
    values = []

    def hear(message):
        if message["msg_type"] == "execute_result":
            values.append(message["content"]["data"]["text/plain"])

    content = client.execute_interactive(code, timeout=60, allow_stdin=False, output_hook=hear)["content"]
    return content["status"], content.get("ename"), values[0] if values else None


def test_cells_await_and_block(kernel):
    for code, wanted in CELLS:
        assert shown(kernel, code) == ("ok", None, wanted), code
    # What is refused is an error of the cell, and the kernel goes on.
    assert shown(kernel, "await context.get(today)") == ("error", "ClosedError", None)
    assert shown(kernel, "await asyncio.sleep(0, 'on')") == ("ok", None, "'on'")
