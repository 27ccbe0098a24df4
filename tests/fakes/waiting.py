"""Work that only waits: a worker that needs neither torch nor a GPU, for the machinery that gives out shards."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from auglift.pipeline.results import ShardResult
from auglift.pipeline.worker import Pulse


@dataclass
class WaitingWork:
    """A shard of `frames` frames takes `seconds`.

    settings   what it says it would compute
    """

    seconds: float = 0.0
    frames: int = 8
    settings: str = "waiting"

    def load(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {"networks": self.settings}, {"python": "3"}

    def begin(self, plan: Any, location: Any) -> None: ...

    def do(self, shard: int, pulse: Pulse) -> ShardResult:
        begin = time.perf_counter()
        pulse.enter("depth")
        time.sleep(self.seconds)
        pulse.batch(self.frames)
        return ShardResult(shard, self.frames, {}, [], {"total": time.perf_counter() - begin})
