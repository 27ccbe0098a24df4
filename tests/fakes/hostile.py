"""A pickle that runs code when it is loaded: it makes a folder."""

from __future__ import annotations

import os
from pathlib import Path


class Hostile:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)
