"""Functions compiled by numba: kept in a cache where one can be written, compiled again by each process elsewhere.

numba's own decorator fails where it finds no place for its cache: as an ordinary user without a home that can be
written, in a container whose packages are read-only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numba.core.config

from ..homes import temporary_folder


def njit(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` with these options and a cache: beside the file, in the user's folder, in a temporary one, or none.

    NUMBA_CACHE_DIR names another place, as it does for numba.
    """

    def decorate(function: Callable) -> Any:
        with_cache = numba.njit(cache=True, **options)
        try:
            return with_cache(function)
        except RuntimeError:  # "no locator available": there is no place that can be written
            folder = temporary_folder()
        if folder is not None:
            numba.core.config.CACHE_DIR = str(folder / "numba")  # type: ignore[attr-defined]
            try:
                return with_cache(function)
            except RuntimeError:
                pass
        return numba.njit(**options)(function)

    return decorate
