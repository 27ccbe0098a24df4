"""Fetch a model's published file into the usual cache, and check a file against the published digest."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ....stores.errors import InvalidValueError, MissingExtraError, StoreWriteError
from ..models import ModelSpec
from .places import torch_cache

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a response
_LFS = b"version https://git-lfs"  # what a clone without Git LFS has in a large file's place


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes; read once a process as long as the file is not touched."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_published(spec: ModelSpec, path: Path) -> bool:
    """Return whether the file has the published digest, as far as that is known."""
    return sha256(path).startswith(spec.sha256)


def check_digest(spec: ModelSpec, path: Path) -> None:
    """Raise InvalidValueError, with how to use the file all the same, where it is not the published one."""
    if is_published(spec, path):
        return
    with path.open("rb") as file:
        is_pointer = file.read(len(_LFS)) == _LFS
    if is_pointer:
        raise InvalidValueError(f"{path} is a Git LFS pointer, not the file itself: `git lfs pull` fetches that")
    raise InvalidValueError(
        f"{path} is not the published file, or is damaged: {mismatch(spec, sha256(path))}. Delete it to fetch it "
        f"again. To use it all the same, put it in a folder as {spec.name}{path.suffix} and give that with --weights"
    )


def mismatch(spec: ModelSpec, digest: str) -> str:
    """How a file differs from the published one, for a message."""
    said = f"its SHA-256 begins {digest[:8]}, not {spec.sha256[:8]}"
    if len(spec.sha256) < 64:
        said += " as its name says (OpenMMLab serves some files under the digits of an earlier upload)"
    return said


def download(spec: ModelSpec) -> Path:
    """Fetch from the origin into torch's cache: under a name of this process's own, checked, then renamed at once."""
    if not spec.origin.startswith(("http://", "https://")):
        raise FileNotFoundError(f"nothing at {spec.origin}")
    target = torch_cache() / spec.file
    part = target.with_name(f".{spec.file}.{os.getpid()}.{threading.get_ident()}.part")
    digest = hashlib.sha256()
    resolve_host(spec.origin)
    with urllib.request.urlopen(spec.origin, timeout=_TIMEOUT) as response:
        length = int(response.headers.get("Content-Length") or 0)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("wb")
        except OSError as error:
            raise StoreWriteError(f"cannot keep {spec.file} in {target.parent}: {error.strerror}") from error
        try:
            with file, Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task(spec.file, total=length or None)
                while chunk := response.read(_CHUNK):
                    digest.update(chunk)
                    _write(file, chunk, target)
                    progress.advance(task, len(chunk))
                if length and file.tell() != length:
                    raise ConnectionError(f"broke off after {file.tell():,} of {length:,} bytes")
            if not digest.hexdigest().startswith(spec.sha256):
                raise InvalidValueError(
                    f"what {spec.origin} serves is not the published file: {mismatch(spec, digest.hexdigest())}. "
                    f"To use it all the same, fetch it yourself and put it in a folder as {spec.name}"
                    f"{target.suffix} and give that with --weights"
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target


def resolve_host(url: str) -> None:
    """Fail at once where there is no network, not after a client's retries; a proxy resolves names itself."""
    address = urllib.parse.urlsplit(url)
    if not urllib.request.getproxies():
        socket.getaddrinfo(address.hostname, address.port or address.scheme)


def _write(file: Any, chunk: bytes, target: Path) -> None:
    """A full disk is not a missing network."""
    try:
        file.write(chunk)
    except OSError as error:
        raise StoreWriteError(f"cannot keep {target.name} in {target.parent}: {error.strerror}") from error


def fetch_from_hub(spec: ModelSpec) -> Path:
    """Fetch from Hugging Face's cache or, where it is not there, from the hub; checked."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("Hugging Face models need huggingface_hub: pip install 'auglift[prep]'") from error
    repository = spec.repository or ""
    cached = huggingface_hub.try_to_load_from_cache(repository, spec.file)
    try:
        if not isinstance(cached, str):
            resolve_host(huggingface_hub.constants.ENDPOINT)
            cached = huggingface_hub.hf_hub_download(repository, spec.file)
    except Exception as error:  # its HTTP library's errors have no base class of ours or Python's
        raise ConnectionError(str(error)) from error
    check_digest(spec, Path(cached))
    return Path(cached)
