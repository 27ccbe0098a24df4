"""`sh("...")`: a command in a tutorial, run as in a terminal; the tutorial ends where it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def sh(command: str) -> None:
    """Print a command and run it, with the auglift of this Python."""
    print(f"$ {command}", flush=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path})
