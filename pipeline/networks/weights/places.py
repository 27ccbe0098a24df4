"""List where a model's published file may lie: in a folder as usual tools fill it, and in the usual caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from ....stores.errors import MissingFileError
from ..models import ModelSpec


def torch_cache() -> Path:
    """Return the folder in which torch.hub, and so OpenMMLab's own tools, keep checkpoints; ours go there too."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def wanted(spec: ModelSpec) -> str:
    """Return the file's name in a folder the user fills; every Hugging Face repository calls it `model.safetensors`."""
    return f"{spec.repository.rsplit('/', 1)[-1]}/{spec.file}" if spec.repository else spec.file


def in_folder(spec: ModelSpec, folder: Path) -> list[Path]:
    """List the files under their published name that are in the user's folder, the likeliest first."""
    if spec.repository:
        places = repository_folders(spec.repository, folder)
    else:  # a folder of files, torch.hub's folder, or TORCH_HOME
        places = (folder, folder / "checkpoints", folder / "hub" / "checkpoints")
    return [place / spec.file for place in places if is_there(place / spec.file)]


def in_caches(spec: ModelSpec) -> list[Path]:
    """List those in torch's and in mim's cache; Hugging Face's cache is for its own tool to read."""
    places = (torch_cache(), Path.home() / ".cache" / "mim")
    return [] if spec.repository else [place / spec.file for place in places if is_there(place / spec.file)]


def repository_folders(repository: str, folder: Path) -> Iterator[Path]:
    """List the folders in `folder` that may hold a Hugging Face repository, the likeliest first.

    `huggingface-cli download owner/name --local-dir` fills a folder of any name; a cache (`--cache-dir`, or HF_HOME
    with `hub` in it) has a folder a revision, of which `refs/main` names the newest. `folder` may itself be one of
    them, if it has the repository's name.
    """
    owner, _, name = repository.rpartition("/")
    cached = f"models--{owner}--{name}"
    yield folder / name
    yield folder / owner / name
    for root in (folder, folder / "hub"):
        snapshots, main = root / cached / "snapshots", root / cached / "refs" / "main"
        if main.is_file():
            yield snapshots / main.read_text().strip()
        if snapshots.is_dir():
            yield from sorted(snapshots.iterdir())
    if folder.absolute().name == name or cached in folder.absolute().parts:
        yield folder


def is_there(path: Path) -> bool:
    """Return whether it is a file; MissingFileError for a link to nothing, as in a cache copied without its blobs."""
    if path.is_symlink() and not path.exists():
        raise MissingFileError(
            f"{path} is a link to a file that is not there: copy the file itself (`cp -L`), or fetch it again"
        )
    return path.is_file()
