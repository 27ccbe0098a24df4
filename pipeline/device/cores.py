"""Count the processor cores that this process may use: its own share, not what the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
# More decoding threads than this need memory for a frame each and are no faster.
MOST_DECODER_THREADS = 16


def usable_cores() -> int:
    """Return the cores that the process may run on at once, at least 1, by its affinity and control groups' quotas."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13; PYTHON_CPU_COUNT is heard
        here = os.process_cpu_count()  # type: ignore[attr-defined]
    elif hasattr(os, "sched_getaffinity"):
        here = len(os.sched_getaffinity(0))
    else:
        here = os.cpu_count()
    quota = _quota()
    here = here or 1
    return here if quota is None else max(1, min(here, math.ceil(quota)))


def decoder_threads(threads: int) -> int:
    """Return FFmpeg's threads, where so many are wished; 0: as many as there are cores."""
    return min(threads if threads > 0 else usable_cores(), MOST_DECODER_THREADS)


def _quota() -> float | None:
    """Cores' worth of time that our control group and those around it allow, the least; None: no limit."""
    found = []
    for folder in _groups():
        for read in (_version_2, _version_1):
            cores = read(folder)
            if cores is not None:
                found.append(cores)
    return min(found, default=None)


def _groups() -> list[Path]:
    """The folders of this process's groups, of both kinds, and of those around them.

    Inside a container the path in /proc is often the host's and not there: then the root is the container's own.
    """
    folders = [CGROUPS, CGROUPS / "cpu", CGROUPS / "cpu,cpuacct"]
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "" or "cpu" in controllers.split(","):
            root = CGROUPS / controllers if controllers else CGROUPS
            inside = Path(path.lstrip("/"))
            folders += [root / part for part in (inside, *inside.parents)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _version_2(folder: Path) -> float | None:
    words = _words(folder / "cpu.max")
    return None if len(words) != 2 or words[0] == "max" else _ratio(*words)


def _version_1(folder: Path) -> float | None:
    quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
    return _ratio(quota[0], period[0]) if quota and period else None


def _ratio(quota: str, period: str) -> float | None:
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None  # -1: no limit


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []
