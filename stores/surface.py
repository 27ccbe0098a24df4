"""A package's public names, each imported from its file when it is first used, so that a package costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__` (PEP 562) for its public names.

    names   public name -> the file that it lies in, relative to the package (`.reading.store`)
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        found = getattr(import_module(names[name], package), name)
        setattr(sys.modules[package], name, found)  # found without this function from now on
        return found

    def names_there() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return get, names_there
