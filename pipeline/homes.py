"""Give libraries a place for caches where the user's home cannot be written: in a container, as any ordinary user.

Libraries keep caches, tokens and settings in the home, and many fail or complain where they cannot. Each has an
environment variable that names another folder: here it gets one in a temporary folder of the user's own.
"""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
from pathlib import Path

# Variable -> the folder it stands for, below the home. ".cache" and ".config" may be elsewhere (XDG).
_KEPT = {
    "AUGLIFT_CACHE": ".cache/auglift",
    "HF_HOME": ".cache/huggingface",
    "MPLCONFIGDIR": ".config/matplotlib",
    "TORCH_HOME": ".cache/torch",
    "TRITON_CACHE_DIR": ".triton/cache",
}
_MOVED = {".cache": "XDG_CACHE_HOME", ".config": "XDG_CONFIG_HOME"}


def settle() -> None:
    """Set the variables of what has no place, for this process and those it starts.

    What is in the home and can be read stays in use, also where it cannot be written. A variable that is set stays.
    """
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no such user: libraries that need a home would fail
        home = Path("/nonexistent")
        if (folder := temporary_folder()) is not None:
            home = folder
            os.environ["HOME"] = str(folder)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"
    for variable, inside in _KEPT.items():
        if variable in os.environ or _usable(_place(home, inside)):
            continue
        if (folder := temporary_folder()) is not None:
            os.environ[variable] = str(folder / Path(inside).parts[-1])


def temporary_folder() -> Path | None:
    """Return a temporary folder that only this user can read and write; None where there can be none.

    What lies there may be code that is run (compiled functions), so nobody else may have made it.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"auglift-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if own else None


def can_be_written(folder: Path) -> bool:
    """Return whether a folder is there and can be written, or can be made. Makes nothing."""
    try:
        while not folder.exists():
            folder = folder.parent
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False


def _place(home: Path, inside: str) -> Path:
    first, rest = inside.split("/", 1)
    moved = os.environ.get(_MOVED.get(first, ""))
    return Path(moved) / rest if moved else home / inside


def _usable(folder: Path) -> bool:
    try:
        there = folder.is_dir()
    except OSError:
        there = False
    return there or can_be_written(folder)
