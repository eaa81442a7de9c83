"""Builds the wheel: the hand-written package, the generated modules and the native library, in one zip file; and the
source distribution, from which the same wheel is built where there is cargo.

A build backend (PEP 517) without dependencies, so `pip install bindings/python` needs cargo and nothing else. It does
itself what packers of native wheels do not do for UniFFI in the right order: generate the bindings from the library
while it has its symbols, and only then strip the copy that is shipped.

Settings (`pip wheel --config-settings NAME=VALUE`):
  profile   the cargo profile to build with, `release` if not given
  features   cargo features of the library beside its own, for tests
  library, bindgen   a libkith_uniffi and a kith-bindgen that are already built; then cargo is not called
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

import kith_sync

PACKAGE = Path(__file__).resolve().parent.parent
WORKSPACE = PACKAGE.parent.parent
# The oldest Python that the package is for.
OLDEST = ">=3.9"
LIBRARY = {"Linux": "libkith_uniffi.so", "Darwin": "libkith_uniffi.dylib", "Windows": "kith_uniffi.dll"}


def version() -> str:
    """The one version number of the workspace."""
    manifest = (WORKSPACE / "Cargo.toml").read_text(encoding="utf-8")
    section = manifest.split("[workspace.package]", 1)[1].split("\n[", 1)[0]
    found = re.search(r'^version = "([^"]+)"$', section, re.MULTILINE)
    if found is None:
        raise SystemExit("Cargo.toml has no version in [workspace.package]")
    return found.group(1)


def platform_tag(library: Path) -> str:
    """`manylinux_2_N` for the newest glibc symbol that the library needs; the system's own tag elsewhere."""
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return tag
    needed = [int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", library.read_bytes())]
    return f"manylinux_2_{max(needed)}_{platform.machine()}" if needed else tag


def cargo_outputs(profile: str, features: str) -> tuple[Path, Path]:
    """Builds the library and the generator."""
    cargo = os.environ.get("CARGO", "cargo")
    build = [cargo, "build", "--locked", "--profile", profile, "--package", "kith-uniffi", "--features", features]
    subprocess.run(build, cwd=WORKSPACE, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))
    folder = WORKSPACE / target / ("debug" if profile == "dev" else profile)
    suffix = ".exe" if platform.system() == "Windows" else ""
    return folder / LIBRARY[platform.system()], folder / f"kith-bindgen{suffix}"


def generate(bindgen: Path, library: Path, folder: Path) -> str:
    """The text of the generated module."""
    subprocess.run(
        [bindgen, "generate", "--library", library, "--language", "python", "--no-format", "--out-dir", folder],
        cwd=WORKSPACE,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    text = (folder / "kith_native.py").read_text(encoding="utf-8")
    if "error_kinds" not in text:
        raise SystemExit(f"the bindings came out empty: was {library} stripped?")
    return changed(text)


# Where a generated call waits, and what takes its place. UniFFI's `free` lets an answer go without what it points to, so
# a call that is cancelled when its answer is there already takes it first. Without an answer, `complete` says so: an error.
WAIT = """\
    finally:
        ffi_free(rust_future)
"""
WAIT_AND_TAKE = """\
    except (asyncio.CancelledError, GeneratorExit):
        try:
            lift_func(_uniffi_rust_call_with_error(error_ffi_converter, ffi_complete, rust_future))
        except Exception:
            pass
        raise
    finally:
        ffi_free(rust_future)
"""


# How a call is told that it may go on, and what takes its place. Most answers are taken in the loop's own thread, which
# needs no waking: the loop goes on without another turn, and the call without another wait.
TELL = """\
    eventloop.call_soon_threadsafe(_uniffi_set_future_result, future, poll_code)
"""
TELL_AT_ONCE = """\
    if asyncio._get_running_loop() is eventloop:
        _uniffi_set_future_result(future, poll_code)
    else:
        eventloop.call_soon_threadsafe(_uniffi_set_future_result, future, poll_code)
"""


def changed(module: str) -> str:
    """The generated module, whose cancelled calls leave nothing behind, and whose calls wait no longer than they must."""
    for found, better in ((WAIT, WAIT_AND_TAKE), (TELL, TELL_AT_ONCE)):
        if module.count(found) != 1:
            raise SystemExit(f"the generated module has this {module.count(found)} times, not once:\n{found}")
        module = module.replace(found, better)
    return module


def strip(library: Path, copy: Path) -> None:
    """A copy of the library without its local symbols, where the system has a tool for that."""
    tool = shutil.which("strip")
    if tool is None or platform.system() != "Linux":
        shutil.copyfile(library, copy)
    else:
        subprocess.run([tool, "--strip-unneeded", "-o", copy, library], check=True)


def metadata() -> str:
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    return (
        "Metadata-Version: 2.1\n"
        "Name: kith\n"
        f"Version: {version()}\n"
        "Summary: Contexts that peers share, ordered, verified and kept in step without a server\n"
        "License: MIT OR Apache-2.0\n"
        f"Requires-Python: {OLDEST}\n"
        "Classifier: Programming Language :: Python :: 3\n"
        "Classifier: Framework :: AsyncIO\n"
        "Classifier: Typing :: Typed\n"
        "Description-Content-Type: text/markdown\n"
        f"\n{readme}"
    )


class Wheel:
    """A wheel file under construction. Times in it are fixed, so equal contents give equal files."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self.record: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o100644 << 16
        self.archive.writestr(info, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}")

    def close(self, info: str) -> None:
        self.record.append(f"{info}/RECORD,,")
        self.archive.writestr(f"{info}/RECORD", "\n".join(self.record) + "\n")
        self.archive.close()


def build_wheel(
    wheel_directory: str, config_settings: dict[str, str] | None = None, metadata_directory: str | None = None
) -> str:
    settings = config_settings or {}
    if "library" in settings:
        library, bindgen = Path(settings["library"]), Path(settings["bindgen"])
    else:
        library, bindgen = cargo_outputs(settings.get("profile", "release"), settings.get("features", ""))
    tag = f"py3-none-{platform_tag(library)}"
    name = f"kith-{version()}-{tag}.whl"
    info = f"kith-{version()}.dist-info"
    with tempfile.TemporaryDirectory() as scratch:
        module = generate(bindgen, library, Path(scratch))
        shipped = Path(scratch) / library.name
        strip(library, shipped)
        wheel = Wheel(Path(wheel_directory) / name)
        for path in sorted((PACKAGE / "kith").rglob("*")):
            if "_native" in path.parts or path.name in ("_version.py", "_blocking.py", "_same.py"):
                continue
            if path.suffix == ".py" or path.name == "py.typed":
                wheel.add(path.relative_to(PACKAGE).as_posix(), path.read_bytes())
        wheel.add("kith/_version.py", f'"""Written by the build."""\n\nVERSION = "{version()}"\n'.encode())
        wheel.add("kith/sync/_blocking.py", kith_sync.blocking(PACKAGE / "kith").encode())
        wheel.add("kith/sync/_same.py", kith_sync.same(PACKAGE / "kith").encode())
        wheel.add("kith/_native/__init__.py", module.encode())
        wheel.add(f"kith/_native/{library.name}", shipped.read_bytes())
        for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
            wheel.add(f"{info}/licenses/{licence}", (WORKSPACE / licence).read_bytes())
        wheel.add(f"{info}/METADATA", metadata().encode())
        wheel.add(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: kith_build\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
        )
        wheel.close(info)
    return name


# The parts of the workspace that the library is made of.
CRATES = ("core", "ffi/uniffi")


def without(manifest: str, *headers: str) -> str:
    """A manifest of cargo's without some of its sections."""
    sections = re.split(r"(?m)^(?=\[)", manifest)
    return "".join(section for section in sections if not section.startswith(headers))


def sources(folder: Path) -> None:
    """Lays out what the wheel is built from: the workspace with two of its crates, and the package."""
    for crate in CRATES:
        manifest = (WORKSPACE / crate / "Cargo.toml").read_text(encoding="utf-8")
        shutil.copytree(WORKSPACE / crate / "src", folder / crate / "src")
        # Their tests stay behind, with what only these need.
        kept = without(manifest, "[dev-dependencies]", "[[test]]", "[[example]]", "[[bench]]")
        (folder / crate / "Cargo.toml").write_text(kept, encoding="utf-8")
    workspace = (WORKSPACE / "Cargo.toml").read_text(encoding="utf-8")
    workspace = re.sub(r"(?m)^members = .*$", f"members = {list(CRATES)}".replace("'", '"'), workspace)
    local = re.compile(r"(?m)^\S+ = \{ path = \"(?P<path>[^\"]+)\".*\n")
    workspace = local.sub(lambda found: found[0] if found["path"] in CRATES else "", workspace)
    (folder / "Cargo.toml").write_text(workspace, encoding="utf-8")
    for name in ("Cargo.lock", "LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copyfile(WORKSPACE / name, folder / name)
    here = folder / "bindings" / "python"
    written = shutil.ignore_patterns("__pycache__", "_native", "_version.py", "_blocking.py", "_same.py")
    for name in ("kith", "build"):
        shutil.copytree(PACKAGE / name, here / name, ignore=written)
    for name in ("README.md", "pyproject.toml"):
        shutil.copyfile(PACKAGE / name, here / name)
    project = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
    project = project.replace('backend-path = ["build"]', 'backend-path = ["bindings/python/build"]')
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    (folder / "PKG-INFO").write_text(metadata(), encoding="utf-8")
    # The versions that are locked stay; what the two crates do not need goes.
    cargo = os.environ.get("CARGO", "cargo")
    subprocess.run([cargo, "update", "--workspace", "--quiet"], cwd=folder, check=True)


def build_sdist(sdist_directory: str, config_settings: dict[str, str] | None = None) -> str:
    name = f"kith-{version()}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        sources(folder)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    info = archive.gettarinfo(path, path.relative_to(folder.parent).as_posix())
                    info.mtime, info.mode, info.uid, info.gid, info.uname, info.gname = 1767225600, 0o644, 0, 0, "", ""
                    with path.open("rb") as file:
                        archive.addfile(info, file)
        data = gzip.compress(packed.getvalue(), mtime=0)
    (Path(sdist_directory) / f"{name}.tar.gz").write_bytes(data)
    return f"{name}.tar.gz"


if __name__ == "__main__":
    # `kith_build.py DIRECTORY [NAME=VALUE …]` builds the wheel, `kith_build.py --sdist DIRECTORY` the sources.
    wanted, (directory, *pairs) = (build_wheel, sys.argv[1:]) if sys.argv[1] != "--sdist" else (build_sdist, sys.argv[2:])
    Path(directory).mkdir(parents=True, exist_ok=True)
    print(wanted(directory, dict(pair.split("=", 1) for pair in pairs)))
