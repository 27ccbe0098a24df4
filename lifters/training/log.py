"""Log a training: a JSON line an epoch, TensorBoard's files where that is installed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...stores.errors import StoreWriteError
from .checkpoint import write_atomically


class Log:
    """`log.jsonl` of a run. On resuming, lines of epochs that are run again are dropped first."""

    def __init__(self, path: Path, epoch: int):
        self.path = path
        kept = [line for line in read_log(path) if line.get("epoch", epoch) < epoch]
        write_atomically(path, "".join(_line(line) for line in kept).encode())
        self.board = _tensorboard(path.parent / "tensorboard", epoch)

    @property
    def has_tensorboard(self) -> bool:
        return self.board is not None

    def write(self, record: Mapping[str, Any]) -> None:
        """StoreWriteError where the disk will not take it."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except OSError as error:
            raise StoreWriteError(f"{self.path} cannot be written ({error.strerror or error})") from error
        if self.board is not None:
            for name, value in record.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, record["epoch"])
            self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log, up to one that was cut off or is something else."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        found.append(record)
    return found


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same, with None for what is no number: JSON has neither NaN nor infinity."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(finite(record), allow_nan=False) + "\n"


def _tensorboard(folder: Path, epoch: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # What an earlier run wrote for the epochs that are run again is hidden, not shown twice.
    return SummaryWriter(str(folder), purge_step=epoch)
