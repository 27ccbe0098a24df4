"""A pickle that runs code when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hostile:
    """Unpickled carelessly, it calls the function."""

    def __init__(self, function: Callable | Hostile, *arguments: Any):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Only what is callable may stand in a call."""
