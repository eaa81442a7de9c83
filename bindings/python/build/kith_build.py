"""Builds the wheel: the hand-written package, the generated module and the native library, in one zip file.

A build backend (PEP 517) without dependencies, so `pip install bindings/python` needs cargo and nothing else. It does
itself what packers of native wheels do not do for UniFFI in the right order: generate the bindings from the library
while it has its symbols, and only then strip the copy that is shipped.

Settings (`pip wheel --config-settings NAME=VALUE`):
  profile   the cargo profile to build with, `release` if not given
  library, bindgen   a libkith_uniffi and a kith-bindgen that are already built; then cargo is not called
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
WORKSPACE = PACKAGE.parent.parent
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


def cargo_outputs(profile: str) -> tuple[Path, Path]:
    """Builds the library and the generator."""
    cargo = os.environ.get("CARGO", "cargo")
    subprocess.run(
        [cargo, "build", "--locked", "--profile", profile, "--package", "kith-uniffi"], cwd=WORKSPACE, check=True
    )
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
    return text


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
        "Requires-Python: >=3.10\n"
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
        library, bindgen = cargo_outputs(settings.get("profile", "release"))
    tag = f"py3-none-{platform_tag(library)}"
    name = f"kith-{version()}-{tag}.whl"
    info = f"kith-{version()}.dist-info"
    with tempfile.TemporaryDirectory() as scratch:
        module = generate(bindgen, library, Path(scratch))
        shipped = Path(scratch) / library.name
        strip(library, shipped)
        wheel = Wheel(Path(wheel_directory) / name)
        for path in sorted((PACKAGE / "kith").rglob("*")):
            if path.suffix == ".py" or path.name == "py.typed":
                wheel.add(path.relative_to(PACKAGE).as_posix(), path.read_bytes())
        wheel.add("kith/_version.py", f'"""Written by the build."""\n\nVERSION = "{version()}"\n'.encode())
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


def build_sdist(sdist_directory: str, config_settings: dict[str, str] | None = None) -> str:
    raise SystemExit("the package is built from a checkout of the whole repository; there is no source distribution")


if __name__ == "__main__":
    directory, *pairs = sys.argv[1:]
    Path(directory).mkdir(parents=True, exist_ok=True)
    print(build_wheel(directory, dict(pair.split("=", 1) for pair in pairs)))
