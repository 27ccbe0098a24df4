"""Work that only waits: the worker needs neither torch nor a GPU, to test the scheduler with real processes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auglift.pipeline.execution.results import ShardResult
from auglift.pipeline.execution.worker import Heartbeat


@dataclass
class WaitingWork:
    """A shard of `frames` frames takes `seconds`.

    deadly     the shard that kills its worker
    stopping   a file: the worker that does shard 0 before it exists writes its process id there and hangs
    settings   what its networks are, as `load` returns it
    """

    seconds: float = 0.0
    frames: int = 8
    deadly: int | None = None
    stopping: Path | None = None
    settings: str = "waiting"

    def load(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {"networks": self.settings}, {"python": "3"}

    def begin(self, plan: Any, location: Any) -> None: ...

    def do(self, shard: int, heartbeat: Heartbeat) -> ShardResult:
        begin = time.perf_counter()
        heartbeat.enter("depth")
        time.sleep(self.seconds)
        if shard == 0 and self.stopping and not self.stopping.exists():
            self.stopping.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)
        if shard == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        heartbeat.batch(self.frames)
        return ShardResult(shard, self.frames, {}, [], {"total": time.perf_counter() - begin})

    def calibrate(self, plan: Any) -> None: ...


class BrokenWork(WaitingWork):
    """Cannot be unpickled: a module is missing."""

    def __reduce__(self):
        return _import_and_make, ()


def _import_and_make() -> Any:
    import networks_that_are_not  # pyright: ignore[reportMissingImports]

    return networks_that_are_not
