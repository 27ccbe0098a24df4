"""Reports of a depth pass, before it begins and after it ends: tables for people, one JSON line for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.filesize import decimal
from rich.table import Table

from ...stores.summaries import agreement, relief
from ..common import stdout

if TYPE_CHECKING:
    from ...pipeline.execution.calibration import Calibration
    from ...pipeline.execution.serial import Outcome
    from ...pipeline.plan import Plan

SLOWEST, LISTED = 5, 20


@dataclass(frozen=True)
class Estimate:
    """How long a job would take: `seconds` with all `workers`, without loading and writing."""

    seconds: float
    workers: int
    timed: Calibration

    @property
    def rate(self) -> float:
        """Return the frames a second of one worker."""
        return self.timed.frames / self.timed.seconds


def show_plan(plan: Plan, as_json: bool, beside: Mapping[str, Any], estimate: Estimate | None = None) -> None:
    """Show what a job would do. beside: further keys of the JSON."""
    layout = plan.layout
    if as_json:
        sequences = {clip.id: clip.count for clip in plan.clips}
        summary = {"frames": plan.frames, "shards": layout.shards, "shard_frames": layout.shard_frames}
        timed = {"estimate": _estimate(estimate)} if estimate else {}
        notes = {"warnings": plan.attributes()["warnings"], **beside, "sequences": sequences}
        click.echo(json.dumps({**summary, "bytes": layout.bytes, **timed, **notes}))
        return
    table = Table("sequence", "source", "frames", "fps", "size", "source frames", title="What would be done")
    for clip in plan.clips[:LISTED]:
        info = clip.info
        rate = "-" if clip.fps != clip.fps else f"{clip.fps:.6g}" + (" (varies)" if info.variable_rate else "")
        table.add_row(clip.id, clip.name, str(clip.count), rate, f"{info.width} x {info.height}", str(info.frame_count))
    stdout.print(table)
    if len(plan.clips) > LISTED:
        stdout.print(f"and {len(plan.clips) - LISTED} more; --json lists all")
    stdout.print(
        f"{plan.frames} frames in {layout.shards} shards of {layout.shard_frames}, "
        f"{decimal(layout.bytes)} before compression"
    )
    if estimate:
        workers = f"{estimate.workers} workers" if estimate.workers > 1 else "one worker"
        stdout.print(
            f"about {duration(estimate.seconds)} with {workers} ({estimate.rate:.3g} frames/s each, measured on "
            f"{estimate.timed.frames} frames)"
        )


def _estimate(estimate: Estimate) -> dict[str, Any]:
    timed = {"measured_frames": estimate.timed.frames, "frames_per_second": round(estimate.rate, 3)}
    return {"seconds": round(estimate.seconds, 1), "workers": estimate.workers, **timed}


def show_outcome(plan: Plan, outcome: Outcome, out: str, as_json: bool, checks: Mapping[str, Any]) -> None:
    """Show how a depth pass ended.

    checks   by name, the results of `agreement` and `relief`, and what else the JSON holds
    """
    if as_json:
        summary = {
            "event": "end",
            "out": out,
            "frames": plan.frames,
            "done": outcome.frames,
            "resumed": outcome.resumed,
            "counts": outcome.counts,
            "failures": [asdict(failure) for failure in outcome.failures],
            "seconds": outcome.seconds,
            "wall": outcome.wall,
            "warnings": plan.attributes()["warnings"],
            **checks,
        }
        click.echo(json.dumps(summary))
        return
    written = Table(title=f"{out}", show_header=False)
    written.add_row("frames", f"{plan.frames}")
    for name in ("valid", "nobody", "unreadable"):
        written.add_row(name, str(outcome.counts.get(name, "?")))
    written.add_row("shards", f"{len(plan.shards)} ({outcome.resumed} from an earlier run)")
    features = plan.settings.get("features")
    written.add_row("descriptors", ", ".join(plan.presets) or ("none" if features else "none: joints and scores alone"))
    if features:
        written.add_row("features", ", ".join(f"{name} ({about['channels']})" for name, about in features.items()))
    if clipped := outcome.counts.get("clipped"):
        written.add_row("clipped", f"{clipped} numbers of the features, which float16 cannot hold")
    show_checks(written, checks)
    stdout.print(written)
    _show_times(outcome)
    for problem in [p for result in outcome.results for p in result.problems][:10]:
        stdout.print(f"frame {problem['source_frame']} of {problem['sequence']} is unreadable: {problem['reason']}")
    if outcome.failures:
        failed = Table("shard", "attempts", "with", "why", title="Failed", style="red")
        for failure in outcome.failures:
            failed.add_row(str(failure.shard), str(failure.attempts), ", ".join(failure.workers), failure.reason)
        stdout.print(failed)
        stdout.print("The store is not complete; run the same command again to try these shards once more.")


def show_checks(table: Table, checks: Mapping[str, Any]) -> None:
    """Add rows that compare joints and depth with the ground truth, as far as the store has it."""
    if values := checks.get("agreement"):
        table.add_row("detected against true", agreement.in_words(values))
    if values := checks.get("relief"):
        table.add_row("depth against true", relief.in_words(values))


def _show_times(outcome: Outcome) -> None:
    seconds = outcome.seconds
    total = seconds.pop("total", 0.0)
    if not total:
        return
    rate = outcome.frames / max(outcome.wall, 1e-9)
    stdout.print(f"{outcome.frames} frames in {duration(outcome.wall)}, {rate:.3g} frames/s")
    # Decoding runs at the same time as the networks: only the time that they wait for it counts.
    times = Table("stage", "seconds", "share", title="Time by stage, all workers together")
    for stage, spent in seconds.items():
        times.add_row(stage, f"{spent:.2f}", "beside" if stage == "decode" else f"{spent / total:.0%}")
    stdout.print(times)
    split = min((result.split for result in outcome.results if result.split), default=0)
    if split:
        stdout.print(
            f"The GPU's memory did not hold a whole batch: {split} frames went through at a time. A smaller --batch "
            "makes the same bytes everywhere.",
            style="yellow",
        )
    timed = sorted((r for r in outcome.results if r.seconds), key=lambda r: -r.seconds["total"] / r.frames)
    if len(timed) > SLOWEST:
        slowest = Table("shard", "frames", "seconds", "frames/s", "worker", title="The slowest shards")
        for result in timed[:SLOWEST]:
            spent = result.seconds["total"]
            worker = "" if result.worker is None else str(result.worker)
            slowest.add_row(
                str(result.shard), str(result.frames), f"{spent:.2f}", f"{result.frames / spent:.3g}", worker
            )
        stdout.print(slowest)


def duration(seconds: float) -> str:
    """`2 d 3 h`, `1 h 20 min`, `3 min 5 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left, parts = round(seconds), []
    for unit, size in units:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
