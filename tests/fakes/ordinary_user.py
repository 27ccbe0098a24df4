"""A command as an ordinary user in a container: packages that are read-only, a home that is not there."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
# It may read what only root may, as the checkout and the packages can lie in root's own folder; and write nothing.
MAY_READ = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@functools.cache
def _prefix(user: int) -> tuple[str, ...]:
    if os.getuid() != 0:
        pytest.skip("only root can be another user")
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv, of util-linux")
    prefix = (setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", *MAY_READ)
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("root may not give rights away here")
    return prefix


def run_as_user(
    folder: Path, arguments: Sequence[object], environment: Mapping[str, str], user: int = NOBODY
) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in `folder`, the only one that the user can write but for TMPDIR.

    environment   all that there is, beside PATH
    """
    prefix = _prefix(user)
    os.chown(folder, user, user)
    variables = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environment}
    command = [*prefix, sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
