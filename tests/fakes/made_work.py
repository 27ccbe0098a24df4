"""Work that writes a made-up store shard by shard: real files, a real ledger, and no torch."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auglift.pipeline.execution.results import ShardResult
from auglift.pipeline.execution.worker import Heartbeat
from auglift.stores.format.layout import LEDGER, ledger_key
from auglift.stores.locations.local import LocalLocation
from auglift.stores.writing.shards import ShardWriter

from .stores import MadeStore


class SlowRecords(LocalLocation):
    """Waits between a shard's arrays and its record, and writes a note before it waits.

    notes   folder of the notes: one for each shard, with the process id of the writer; None for none
    """

    def __init__(self, path: Path, seconds: float = 0.0, notes: Path | None = None):
        super().__init__(path)
        self.seconds = seconds
        self.notes = notes

    def write(self, key: str, data: bytes) -> None:
        if key.startswith(LEDGER):
            if self.notes is not None:
                (self.notes / Path(key).name).write_text(str(os.getpid()))
            time.sleep(self.seconds)
        super().write(key, data)


@dataclass
class MadeWork:
    """Writes the shards of a `MadeStore`, and waits before each."""

    store: MadeStore = field(default_factory=MadeStore)
    seconds: float = 0.0

    def load(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {"seed": self.store.seed}, {}

    def begin(self, plan: None, location: LocalLocation) -> None:
        self.writer = ShardWriter(location, self.store.layout, self.store.plan["fingerprint"])

    def do(self, shard: int, heartbeat: Heartbeat) -> ShardResult:
        start, stop = self.store.layout.bounds(shard)
        result = ShardResult(shard, stop - start, {}, [], {})
        if not self.writer.location.exists(ledger_key(shard)):
            time.sleep(self.seconds)
            self.store.write_shard(self.writer, shard)
            heartbeat.batch(stop - start)
        return result

    def calibrate(self, plan: None) -> None: ...
