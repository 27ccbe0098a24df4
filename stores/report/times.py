"""Time by stage: where the depth pass spent its time, from what `auglift-prep --json` printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InvalidValueError, MissingFileError
from ..summaries.info import duration
from .charts import bars
from .html import Section, figures, number, paragraph

TITLE = "Time by stage"
_BESIDE = ("decode", "total")


def times(given: dict[str, Any] | None) -> Section:
    """Show seconds by stage; `given` is the last event of a depth pass, see `read_times`."""
    if given is None:
        text = (
            "A store holds no times, because the same command must give the same bytes. Keep what the pass prints "
            "(auglift-prep ... --json > pass.jsonl) and give it with --times pass.jsonl."
        )
        return Section(TITLE, paragraph(text), {"stages": {}})
    seconds = given["seconds"]
    total = seconds.get("total") or sum(value for name, value in seconds.items() if name not in _BESIDE) or 1.0
    rows = [
        (
            name,
            value / total,
            f"{duration(value)}, beside" if name in _BESIDE else f"{duration(value)}, {value / total:.0%}",
        )
        for name, value in seconds.items()
        if name != "total"
    ]
    wall, frames = given.get("wall"), given.get("done")
    text = (
        f"{number(frames)} frames in {duration(wall)}, {number(frames / wall)} frames a second. "
        if wall and frames
        else ""
    )
    text += "Decoding runs beside the networks: only the time that they wait for it counts."
    chart = bars("Time by stage, all workers together", rows)
    return Section(TITLE, paragraph(text) + figures([chart]), {"stages": seconds, "wall": wall, "frames": frames})


def read_times(path: str | Path) -> dict[str, Any]:
    """Read the times of the last pass that a file of `auglift-prep --json` tells of.

    Raises MissingFileError, and InvalidValueError where the file is something else.
    """
    path = Path(path)
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise MissingFileError(f"--times {path} cannot be read: {error.strerror}") from error
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        seconds = event.get("seconds") if isinstance(event, dict) else None
        if event and isinstance(seconds, dict) and all(isinstance(one, int | float) for one in seconds.values()):
            return event
    raise InvalidValueError(f"--times {path} holds no times of a depth pass; it takes what auglift-prep --json printed")
