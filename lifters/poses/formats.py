"""The table of formats, and a folder with a clip's files in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...stores.errors import InvalidValueError, MissingExtraError, StoreWriteError
from .bvh import bvh
from .c3d import c3d, require_ezc3d
from .npz import npz
from .poses import ClipPoses, PersonPoses
from .trc import trc

# A file a person; npz is the whole clip's.
FORMATS: dict[str, Callable[[PersonPoses], bytes]] = {"trc": trc, "bvh": bvh, "c3d": c3d}
NAMES = ("npz", *FORMATS)


def choose(text: str | None) -> tuple[tuple[str, ...], list[str]]:
    """Return the formats of a comma-separated list, and notes: of None all that can be written here.

    InvalidValueError for a format that there is not, MissingExtraError for one that needs a package that is not here.
    """
    names = NAMES if text is None else tuple(part.strip().lower() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise InvalidValueError(f"no format '{', '.join(unknown) or text}'; there are {', '.join(NAMES)}")
    notes = []
    if "c3d" in names:
        try:
            require_ezc3d()
        except MissingExtraError as error:
            if text is not None:
                raise
            names, notes = tuple(name for name in names if name != "c3d"), [f"no C3D is written: {error}"]
    return tuple(dict.fromkeys(names)), notes


def write(clip: ClipPoses, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write `poses.npz`, and `<person>.<format>` for everybody who was found; return their paths.

    StoreWriteError where the folder cannot be written.
    """
    made = []
    files = {"poses.npz": lambda: npz(clip)} if "npz" in formats else {}
    for number in range(len(clip.people)):
        person = clip.of(number)
        if not clip.found[number].any():
            continue
        for name in formats:
            if name in FORMATS:
                files[f"{person.name}.{name}"] = lambda to=FORMATS[name], who=person: to(who)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            temporary = path.with_name(f".{name}.tmp")
            temporary.write_bytes(content())
            temporary.replace(path)
            made.append(path)
    except OSError as error:
        raise StoreWriteError(
            f"{folder} cannot be written ({error.strerror or error}); choose another --out"
        ) from error
    return made
