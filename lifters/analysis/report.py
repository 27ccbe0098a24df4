"""Write what analyses found: JSON, a Markdown table and a picture (PNG, SVG) of each, into one folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...stores.errors import StoreWriteError
from ..training.checkpoint import write_atomically
from .analyse import Findings
from .plots import draw_lengths, draw_tiers
from .sequence_length import NAME
from .tiers import Analysis, Tier


def prepare_folder(out: Path) -> None:
    """Make the folder. StoreWriteError where it cannot be written: before an hour of computing, not after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreWriteError(f"{out} cannot be written ({error.strerror or error}); give another --out") from error


def write(out: Path, found: Findings) -> list[Path]:
    """Write all, and return the files: `novelty.json`, `novelty.md`, `novelty.png`, `novelty.svg`, and so on.

    MissingExtraError without matplotlib: JSON and tables are written first.
    """
    kinds = {
        name: [one for one in found.tiers if one.name == name] for name in dict.fromkeys(t.name for t in found.tiers)
    }
    files = []
    for name, some in kinds.items():
        text = "\n\n".join("\n".join(table(one)) for one in some)
        files += _write(out, name, [one.as_dict() for one in some], text)
    if found.lengths is not None:
        files += _write(out, NAME, found.lengths.as_dict(), "\n".join(found.lengths.table()))
    for name, some in kinds.items():
        files += draw_tiers(out / name, some)
    if found.lengths is not None:
        files += draw_lengths(out / NAME, found.lengths)
    return files


def table(one: Analysis) -> list[str]:
    """Return a Markdown table of MPJPE (P-MPJPE), mm, by tier; with several runs the change of the first one's, too."""
    first, *others = one.runs
    heads = [f"{first}, mm", *(f"{run}, mm" for run in others), *(f"{first} against {run}" for run in others)]
    out = [f"{one.name}, {one.dataset}: MPJPE (P-MPJPE)", ""]
    out += [f"| tier | {one.value}, {one.unit} | frames | {' | '.join(heads)} |", "|" + "---|" * (3 + len(heads))]
    for tier in one.tiers:
        cells = [_pair(tier, run) for run in one.runs] + [_change(tier, first, run) for run in others]
        span = "-" if math.isnan(tier.low) else f"{tier.low:.1f} to {tier.high:.1f}"
        out.append(f"| {tier.name} | {span} | {tier.frames} | {' | '.join(cells)} |")
    notes = [f"{one.left_out} frames have no such value and are in no tier"] if one.left_out else []
    if "clusters" in one.about:
        notes.append("{clusters} clusters of {clustered} of {training_poses} training poses".format(**one.about))
    return [*out, *([""] if notes else []), *(f"{'; '.join(notes)}." for _ in notes[:1])]


def _pair(tier: Tier, run: str) -> str:
    values = tier.measures[run]
    return "" if math.isnan(values["mpjpe"]) else f"{values['mpjpe']:.1f} ({values['p_mpjpe']:.1f})"


def _change(tier: Tier, first: str, other: str) -> str:
    ours, theirs = (tier.measures[run]["mpjpe"] for run in (first, other))
    return "" if math.isnan(ours) or not theirs > 0 else f"{100 * (ours / theirs - 1):+.1f} %"


def _write(out: Path, name: str, data: Any, text: str) -> Sequence[Path]:
    files = [out / f"{name}.json", out / f"{name}.md"]
    write_atomically(files[0], (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(files[1], (text + "\n").encode())
    return files
