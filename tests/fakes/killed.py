"""Kill a job inside each of its writes, run it again, compare: python -m tests.fakes.killed FOLDER

One process, so that the imports are paid once: each job is a fork of it. Prints a line for each kill point.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from auglift.stores.locations.base import PARTIAL
from auglift.stores.locations.local import LocalLocation

from .folders import digest_of_folder
from .stores import MadeStore

SMALL = MadeStore(lengths=(5, 6), shard_frames=6, only=("keypoints", "valid"))


class KilledAt(LocalLocation):
    """Dies in its n-th write: half of it is on disk, under its temporary name."""

    def __init__(self, path: Path, fatal: int):
        super().__init__(path)
        self.fatal = fatal
        self.count = 0

    def _write(self, key: str, data: bytes, exclusive: bool) -> bool:
        if self.count == self.fatal:
            target = self.path / key
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(f"{target.name}.dead{PARTIAL}").write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1
        return super()._write(key, data, exclusive)


def in_a_fork(job: Callable[[], object]) -> int:
    """Do the job in a forked process and return its exit status; if negative, the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            job()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(folder: Path) -> None:
    kill_in_every_write(SMALL.run, folder)


def kill_in_every_write(job: Callable[[Path | LocalLocation], object], folder: Path) -> None:
    """Print a line for each write of the job: what a kill in it leaves, and whether the job run again mends it.

    job   writes the store that it is given
    """

    def once_and_list_imports() -> None:
        job(folder / "undisturbed")
        (folder / "imports").write_text("\n".join(sys.modules))

    # In a fork too: Zarr's event loop is a thread and would not survive the later forks.
    assert in_a_fork(once_and_list_imports) == 0
    for name in (folder / "imports").read_text().split():  # so that the later forks need not import it
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    undisturbed = digest_of_folder(folder / "undisturbed")
    fatal = 0
    while True:
        out = folder / str(fatal)
        status = in_a_fork(lambda out=out, fatal=fatal: job(KilledAt(out, fatal)))
        if status == 0:
            print(f"{fatal} writes in all")
            return
        left = len(digest_of_folder(out))
        again = in_a_fork(lambda out=out: job(out))
        same = digest_of_folder(out) == undisturbed
        print(f"write {fatal}: ended by {-status}, {left} files left, again {again}, same bytes {same}")
        fatal += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
