"""The installed package: what is in it, its errors, its keys."""

import builtins
import subprocess
import sys
from pathlib import Path

import pytest

import kith
from kith import _native
from kith._errors import error_of, translated


def test_it_is_the_installed_wheel_that_is_tested():
    folder = Path(kith.__file__).parent
    assert "site-packages" in folder.parts
    assert (folder / "py.typed").exists()
    assert [path.stem for path in (folder / "_native").glob("*kith_uniffi*")] != []


def test_package_and_library_are_of_one_version():
    assert kith.version() == _native.version()


def test_a_library_of_another_version_is_refused():
    program = (
        "import sys, kith\n"
        "native = kith._native\n"
        "for name in [name for name in sys.modules if name == 'kith' or name.startswith('kith.')]: del sys.modules[name]\n"
        "sys.modules['kith._native'] = native\n"
        "native.version = lambda: '9.9.9'\n"
        "import kith\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "its library is 9.9.9" in done.stderr


# scenario: kinds_are_the_same
def test_the_kinds_are_those_of_the_library_and_each_has_its_class():
    names = [kind.name.replace("_", "").lower() for kind in kith.ErrorKind]
    assert names == [name.lower() for name in _native.error_kinds()]
    for kind, name in zip(kith.ErrorKind, _native.error_kinds()):
        error = error_of(kind, "text")
        assert type(error) is getattr(kith, f"{name}Error")
        assert error.kind is kind
        assert str(error) == "text"
        assert isinstance(error, kith.KithError)


def test_pythons_own_classes_catch_where_there_is_one():
    assert issubclass(kith.TimeoutError, builtins.TimeoutError)
    assert issubclass(kith.InvalidArgumentError, ValueError)


def test_failures_come_out_as_the_class_of_their_kind():
    with pytest.raises(kith.BusyError, match="^taken$"), translated():
        raise _native.Failure.Failed(kith.ErrorKind.BUSY, "taken")
    with pytest.raises(kith.InternalError, match="^boom$"), translated():
        raise _native.InternalError("boom")


def test_keys_have_32_bytes_and_say_so():
    key = kith.StateKey.of("notes", "2026-11-22")
    assert len(key) == 32
    assert key.startswith(kith.StateKey.collection("notes"))
    assert key != kith.StateKey.of("notes", "2026-11-23")
    assert key[16:] == kith.StateKey.of("other", "2026-11-22")[16:]
    assert kith.StateKey(bytes(range(32))) == bytes(range(32))
    assert kith.StateKey.random() != kith.StateKey.random()
    for wrong in (b"", b"x" * 31, b"x" * 33):
        with pytest.raises(kith.InvalidArgumentError, match=f"32 bytes, not {len(wrong)}"):
            kith.StateKey(wrong)
    with pytest.raises(kith.InvalidArgumentError, match="not str"):
        kith.StateKey("x" * 32)


def test_the_public_names_are_all_there():
    for name in kith.__all__:
        assert name in ("Encryption", "Role") or getattr(kith, name).__doc__, name
