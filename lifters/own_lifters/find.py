"""Find a lifter by what the user writes: a name, FILE.py:CLASS, package.module:CLASS, an entry point, or a class."""

from __future__ import annotations

import ast
import difflib
import inspect
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from torch import nn

from ...stores.errors import InvalidValueError, MissingFileError
from ..models.hyperparameters import NAMES
from . import user_code
from .own_lifter import GIVEN, OwnLifter, check_class, class_in, frozen, is_plain

GROUP = "auglift.lifters"  # of entry points: name = "package.module:CLASS"


def find_lifter(lifter: str | type | OwnLifter) -> str | OwnLifter:
    """Find one of `NAMES`, or the user's own.

    lifter   a name (hyphens will do); FILE.py:CLASS; package.module:CLASS; the name of an entry point of the group
             `auglift.lifters`; or the class itself
    Loads the file: that runs its code. Raises MissingFileError, MissingExtraError, InvalidValueError in one line.
    """
    if isinstance(lifter, OwnLifter):
        return lifter
    if isinstance(lifter, type):
        return _of_class(lifter)
    if lifter.replace("-", "_") in NAMES:
        return lifter.replace("-", "_")
    where, colon, path = lifter.rpartition(":")
    if colon and path.strip():
        return _of_file(where, path) if where.endswith(".py") else _of_module(where, path, lifter)
    if lifter.rstrip(":").endswith(".py"):
        file = Path(lifter.rstrip(":"))
        raise InvalidValueError(f"lifter '{lifter}' names no class: write {file}:CLASS{_classes_in(file)}")
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if lifter in entries:
        module, _, path = entries[lifter].value.partition(":")
        return replace(_of_module(module.strip(), path.strip(), entries[lifter].value), name=lifter)
    names = [*NAMES, *entries]
    near = difflib.get_close_matches(lifter.replace("-", "_"), names, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise InvalidValueError(
        f"no lifter '{lifter}'; {hint}there are {', '.join(names)}, and one of your own is FILE.py:CLASS or "
        "package.module:CLASS"
    )


def _of_file(where: str, path: str) -> OwnLifter:
    file = Path(where).expanduser().resolve()
    if not file.is_file():
        raise MissingFileError(f"there is no file {where}: --lifter takes FILE.py:CLASS, from the folder you are in")
    name = f"{file.name}:{path}"
    loaded = user_code.load_file(file)
    return _described(class_in(loaded, path, name), name, file, path, None, loaded)


def _of_module(where: str, path: str, text: str) -> OwnLifter:
    if not all(part.isidentifier() for part in (*where.split("."), *path.split("."))):
        raise InvalidValueError(f"lifter '{text}': write FILE.py:CLASS or package.module:CLASS")
    loaded = user_code.load_module(where, Path.cwd())
    found = class_in(loaded, path, text)
    # A package often hands on what another of its modules defines: that one's file is what counts.
    if found.__module__ != where and (found.__module__ in sys.modules or found.__module__ in loaded.modules):
        where, path = found.__module__, found.__qualname__
        loaded = user_code.load_module(where, Path.cwd())
    return _described(found, text, Path(loaded.module.__file__ or "").resolve(), path, where, loaded)


def _of_class(found: type) -> OwnLifter:
    module, path = sys.modules.get(found.__module__), found.__qualname__
    file = getattr(module, "__file__", None)
    check_class(found, path)
    if module is None or file is None or "<locals>" in path:
        where = "inside a function" if "<locals>" in path else "in no file (a notebook, an interactive session)"
        raise InvalidValueError(
            f"{path} is defined {where}, so a run could not load it again: put it at the top of a file of its own"
        )
    source = user_code.file_of(module)
    spec = getattr(module, "__spec__", None)
    if module.__name__ == "__main__" and spec is None:
        source = Path(file).resolve()
        user_code.remember_script(source, module)
    if source is not None:
        return _described(found, f"{source.name}:{path}", source, path, None, user_code.load_file(source))
    name = spec.name if module.__name__ == "__main__" and spec is not None else module.__name__
    digest = user_code.digest_of(Path(file)) or ""
    loaded = user_code.Loaded(module, None, digest)
    return _described(found, f"{name}:{path}", Path(file).resolve(), path, name, loaded)


def _described(
    found: type[nn.Module], name: str, file: Path, path: str, module: str | None, loaded: user_code.Loaded
) -> OwnLifter:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (ValueError, TypeError) as error:
        raise InvalidValueError(f"{name} does not say what it takes ({error}); give it an __init__") from error
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    lacking = [argument for argument in ("channels", "window") if argument not in named]
    if lacking and not takes_any:
        raise InvalidValueError(
            f"{name} has no argument {' and no '.join(lacking)} (it has {', '.join(named) or 'none'}): a lifter is "
            "made as CLASS(channels, window, joints=17, **settings); write a few lines around it (docs/own-lifter.md)"
        )
    settings = {key: default for key, default in named.items() if key not in GIVEN}
    plain = {k: frozen(v) for k, v in settings.items() if v is not inspect.Parameter.empty and is_plain(v)}
    needed = tuple(key for key, default in settings.items() if default is inspect.Parameter.empty)
    return OwnLifter(
        name=name,
        file=str(file),
        sha256=loaded.sha256,
        path=path,
        module=module,
        imports=dict(loaded.imports),
        defaults=plain,
        free=tuple(key for key in settings if key not in plain and key not in needed),
        needed=needed,
        takes_any=takes_any,
        takes_joints="joints" in named or takes_any,
        has_loss=callable(getattr(found, "loss", None)),
    )


def _classes_in(file: Path) -> str:
    """`; it has A, B`, read without running it."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ""
    names = [node.name for node in body if isinstance(node, ast.ClassDef)]
    return f"; it has {', '.join(names)}" if names else ""
