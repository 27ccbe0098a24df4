"""Load Python that the user names, from a file or a module, with the digests of what was loaded.

A file is loaded as `python FILE` would: its folder comes first on the search path while it loads. The modules that it
imports from that folder belong to it alone, because two research repositories often both have a package `common`.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ...stores.errors import InvalidValueError, MissingExtraError, MissingFileError


@dataclass(frozen=True)
class Loaded:
    """A module that was loaded.

    folder   where its imports come from; None: it was found on the search path as it was
    sha256   of its file's bytes
    imports  digests of the files that it imported from `folder`, by their path from there
    modules  those files' modules, by name
    """

    module: ModuleType
    folder: Path | None
    sha256: str
    imports: dict[str, str] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)


_INSTALLED = ("site-packages", "dist-packages")

_loaded: dict[str, Loaded] = {}
_active: Loaded | None = None  # whose folder is at the end of the search path, and whose modules Python knows
_before: frozenset[str] = frozenset()  # names of modules when that began


def load_file(path: Path) -> Loaded:
    """Load a Python file; one that is loaded already, and whose files are unchanged, is not run again.

    Raises MissingFileError, MissingExtraError where it imports what is not installed, and InvalidValueError for any
    other failure of its code.
    """
    data = _bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    known = _loaded.get(str(path))
    if known is not None and known.sha256 == digest and not changed(path.parent, known.imports):
        _activate(known)
        return known
    # One name a file and its bytes: Python keeps modules by name, and `model.py` is the name of many.
    name = f"auglift_own_{path.stem}_{hashlib.sha256(str(path).encode() + data).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    with _failures_named(path.name, path.parent), _importing_from(path.parent) as before:
        sys.modules[name] = module
        try:
            exec(compile(data, str(path), "exec", dont_inherit=True), module.__dict__)
        except BaseException:
            _take_out(path.parent, before)
            del sys.modules[name]
            raise
    modules = _take_out(path.parent, before)
    return _remember(str(path), Loaded(module, path.parent, digest, _digests(path.parent, modules, path), modules))


def load_module(name: str, search: Path | None) -> Loaded:
    """Load the module of that dotted name, from the folder `search` or from Python's search path.

    Raises what `load_file` does, and MissingFileError where there is no such module.
    """
    key = f"{search}:{name}"
    known = _loaded.get(key)
    if known is not None and known.folder is not None and not changed(known.folder, known.imports | _own(known)):
        _activate(known)
        return known
    with _failures_named(name, search or Path.cwd(), name), _importing_from(search) as before:
        try:
            module = importlib.import_module(name)
        except BaseException:
            if search is not None:
                _take_out(search, before)
            raise
    file = Path(module.__file__ or "")
    if not file.is_file():
        raise InvalidValueError(
            f"module {name} has no file: name the module that holds the class, package.module:CLASS"
        )
    digest, folder = hashlib.sha256(_bytes(file)).hexdigest(), folder_of(file, name)
    modules = _take_out(folder, before) if folder is not None else {}
    if folder is None or not modules:  # imported before, or installed: Python keeps it
        return Loaded(module, None, digest)
    return _remember(key, Loaded(module, folder, digest, _digests(folder, modules, file), modules))


def folder_of(file: Path, module: str) -> Path | None:
    """Return the folder that holds the module's package.

    None where that has another name (as one that is installed to be edited may have), or is Python's own for packages.
    """
    name = module.split(".")
    parts = file.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    folder = Path(*parts[: -len(name)])
    return folder if list(parts[-len(name) :]) == name and folder.name not in _INSTALLED else None


def remember_script(path: Path, module: ModuleType) -> None:
    """Make `load_file` return the module of the script that runs, and not run it a second time."""
    if str(path) not in _loaded:
        _loaded[str(path)] = Loaded(module, None, hashlib.sha256(_bytes(path)).hexdigest())


def file_of(module: ModuleType) -> Path | None:
    """Return the file that `load_file` loaded this module from; None for any other module."""
    return next((Path(key) for key, loaded in _loaded.items() if loaded.module is module and key.endswith(".py")), None)


def changed(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """List those of the files, by their path from `folder`, that are gone or have other bytes."""
    return [name for name, digest in digests.items() if digest_of(folder / name) != digest]


def digest_of(path: Path) -> str | None:
    """Return the sha256 of a file, None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def place_of(error: BaseException, folder: Path) -> str:
    """Return where in the user's own code it happened, as ` (model.py, line 12)`; empty where it happened elsewhere."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(folder) and not {*Path(frame.filename).parts} & {*_INSTALLED}
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def one_line(error: BaseException) -> str:
    """Write an error in one line, `TypeError: ...`."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


@contextmanager
def _failures_named(what: str, folder: Path, module: str = "") -> Iterator[None]:
    """Errors of the user's code in one line. `module`: what is imported by name, and may itself not be there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise MissingFileError(
                f"there is no module {module} here or in {folder}; write FILE.py:CLASS, or run where it can be imported"
            ) from error
        raise MissingExtraError(
            f"{what} imports '{error.name}'{place_of(error, folder)}, which is not installed here: install it, or put "
            "it beside that file"
        ) from error
    except SystemExit as error:
        raise InvalidValueError(
            f"{what} ends the program when it is imported{place_of(error, folder)}: put what it runs under "
            '`if __name__ == "__main__":`'
        ) from error
    except Exception as error:
        raise InvalidValueError(f"{what} cannot be imported: {one_line(error)}{place_of(error, folder)}") from error


@contextmanager
def _importing_from(folder: Path | None) -> Iterator[frozenset[str]]:
    """Imports look in the folder first. Yields the names of modules that there were."""
    _deactivate()
    before = frozenset(sys.modules)
    if folder is None:
        yield before
        return
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield before
    finally:
        sys.path.remove(str(folder))


def _take_out(folder: Path, before: frozenset[str]) -> dict[str, ModuleType]:
    """The modules that were imported from the folder since: Python forgets them until `_activate`."""
    new = [(name, module) for name, module in sys.modules.items() if name not in before]
    taken = {name: module for name, module in new if _lies_in(folder, name, module)}
    for name in taken:
        del sys.modules[name]
    return taken


def _remember(key: str, loaded: Loaded) -> Loaded:
    _loaded[key] = loaded
    _activate(loaded)
    return loaded


def _activate(loaded: Loaded) -> None:
    """What this module imports later, inside a function, is found, too: its folder is the last of the search path."""
    global _active, _before
    _deactivate()
    if loaded.folder is not None:
        sys.path.append(str(loaded.folder))
        _before = frozenset(sys.modules)
        sys.modules.update(loaded.modules)
        _active = loaded


def _deactivate() -> None:
    global _active
    if _active is not None and _active.folder is not None:
        place = len(sys.path) - 1 - sys.path[::-1].index(str(_active.folder)) if str(_active.folder) in sys.path else -1
        if place >= 0:
            del sys.path[place]
        # Also what was imported since, inside functions.
        _active.modules.update(_take_out(_active.folder, _before))
    _active = None


def _lies_in(folder: Path, name: str, module: ModuleType) -> bool:
    """Whether the module was found in the folder itself, and not in an environment that lies in it, too."""
    file = getattr(module, "__file__", None)
    if file is None:
        paths = list(getattr(module, "__path__", ()))  # a package without __init__.py
        return bool(paths) and Path(paths[0]) == folder.joinpath(*name.split("."))
    path = Path(file)
    return path.is_relative_to(folder) and path.relative_to(folder).parts[0].split(".")[0] == name.partition(".")[0]


def _digests(folder: Path, modules: Mapping[str, ModuleType], but: Path) -> dict[str, str]:
    found = {getattr(module, "__file__", None) for module in modules.values()}
    files = sorted({Path(file) for file in found if file} - {but})
    return {file.relative_to(folder).as_posix(): digest_of(file) or "" for file in files}


def _own(known: Loaded) -> dict[str, str]:
    file = Path(known.module.__file__ or "")
    return {file.relative_to(known.folder or file.parent).as_posix(): known.sha256}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror or error}); give FILE.py:CLASS") from error
