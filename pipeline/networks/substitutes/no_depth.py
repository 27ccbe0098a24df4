"""Nothing in the depth network's place: a store of 2D alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NO_DEPTH = "none"


@dataclass(frozen=True)
class NoDepth:
    """Stands where a depth network would. There is nothing to describe then: no UADD preset goes with it."""

    name: str = NO_DEPTH

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "weights": "none"}


def is_none(name: str) -> bool:
    """Whether a `--depth` asks for none."""
    return name.strip().lower() == NO_DEPTH
