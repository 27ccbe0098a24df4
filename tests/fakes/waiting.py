"""Work that only waits: a worker that needs neither torch nor a GPU, for the machinery that gives out shards."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auglift.pipeline.results import ShardResult
from auglift.pipeline.worker import Pulse


@dataclass
class WaitingWork:
    """A shard of `frames` frames takes `seconds`.

    deadly     the shard that kills whoever does it
    stopping   a file: who does shard 0 before it exists writes its process id there and stops, as if it hung
    settings   what it says it would compute
    """

    seconds: float = 0.0
    frames: int = 8
    deadly: int | None = None
    stopping: Path | None = None
    settings: str = "waiting"

    def load(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {"networks": self.settings}, {"python": "3"}

    def begin(self, plan: Any, location: Any) -> None: ...

    def do(self, shard: int, pulse: Pulse) -> ShardResult:
        begin = time.perf_counter()
        pulse.enter("depth")
        time.sleep(self.seconds)
        if shard == 0 and self.stopping and not self.stopping.exists():
            self.stopping.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)
        if shard == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        pulse.batch(self.frames)
        return ShardResult(shard, self.frames, {}, [], {"total": time.perf_counter() - begin})

    def calibrate(self, plan: Any) -> None: ...


class BrokenWork(WaitingWork):
    """Cannot be unpacked where a module is missing."""

    def __reduce__(self):
        return _import_and_make, ()


def _import_and_make() -> Any:
    import networks_that_are_not  # pyright: ignore[reportMissingImports]

    return networks_that_are_not
