"""The tables of `auglift-store info`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from ..stores.format.depth_unit import METRES
from ..stores.summaries.info import duration
from .prep.report import show_checks


def tables(about: dict[str, Any]) -> list[Table]:
    """Make them of what `stores.summaries.info.summary` returns: of the whole, of its fields, of its joints."""
    joints = [_joints(about["joints"], about["depth_unit"])] if about["joints"] else []
    return [_overview(about), _fields(about), *joints]


def _overview(about: dict[str, Any]) -> Table:
    shards, counts, sequences = about["shards"], about["counts"], about["sequences"]
    table = Table(title=about["url"], show_header=False)
    status = about["status"]
    if status != "complete":
        status = f"{status}: {shards['finished']} of {shards['all']} shards are finished and can be read"
    table.add_row("status", status)
    table.add_row("dataset", about["dataset"])
    length = duration(about["seconds"])
    table.add_row("frames", f"{about['frames']}{length and ', '}{length}")
    table.add_row("sequences", str(sequences["count"]))
    for key, title in (("split", "splits"), ("subject", "subjects"), ("action", "actions"), ("camera", "cameras")):
        named = [value for value in sequences[key] if value]
        if named:
            table.add_row(title, ", ".join(named[:12]) + (f" and {len(named) - 12} more" if len(named) > 12 else ""))
    if counts:
        share = "" if about["valid_share"] is None else f" ({about['valid_share']:.1%})"
        table.add_row("valid", f"{counts.get('valid', 0)} of {counts.get('frames', 0)}{share}")
        table.add_row("nobody found", str(counts.get("nobody", 0)))
        table.add_row("unreadable", str(counts.get("unreadable", 0)))
        if clipped := counts.get("clipped"):
            table.add_row("clipped", f"{clipped} numbers of the features, which float16 cannot hold")
    truth = about["ground_truth"]
    if truth:
        medians = [
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in truth["median"].items() if value is not None
        ]
        table.add_row("ground truth", "; ".join([", ".join(medians), *truth["problems"], *truth.get("notes", [])]))
    show_checks(table, about)
    for kind, model in about["models"].items():
        table.add_row(kind, f"{model['name']} (weights: {model['weights']})")
    if about["depth_unit"] != METRES:
        table.add_row("unit of depth", f"{about['depth_unit']}: larger is farther, no metres (docs/method.md)")
    table.add_row("shards", f"{shards['all']} of {shards['frames']} frames")
    for name, family in about["families"].items():
        table.add_row(f"fields @{name}", _family(family))
    table.add_row("fingerprint", about["fingerprint"])
    return table


def _family(family: dict[str, Any]) -> str:
    """A line on fields that were added later."""
    if family["status"] == "damaged":
        return f"damaged: {family['reason']}"
    status, shards = family["status"], family["shards"]
    if status != "complete":
        status = f"{status}: {shards['finished']} of {shards['all']} shards are finished, nobody can read them yet"
    networks = ", ".join(f"{kind} {model['name']}" for kind, model in family["models"].items())
    return "; ".join([status, networks, *family["warnings"]])


def _fields(about: dict[str, Any]) -> Table:
    table = Table("field", "a frame", "dtype", "unit", "stored", "of", "meaning")
    for name, f in about["fields"].items():
        shape = " x ".join(map(str, f["shape"])) or "-"
        table.add_row(name, shape, f["dtype"], f["unit"], size(f["bytes"]), size(f["raw_bytes"]), f["meaning"])
    stored, raw = (sum(f[key] for f in about["fields"].values()) for key in ("bytes", "raw_bytes"))
    table.add_row("together", "", "", "", size(stored), size(raw), "")
    return table


def _joints(joints: dict[str, dict[str, Any]], unit: str) -> Table:
    titles = {"score": "score: min", "depth": f"depth, {unit}: min"}
    kinds = [kind for kind in titles if any(kind in ranges for ranges in joints.values())]
    table = Table("joint", *(title for kind in kinds for title in (titles[kind], "mean", "max")))
    for joint, ranges in joints.items():
        cells = [ranges.get(kind, {}).get(key) for kind in kinds for key in ("min", "mean", "max")]
        table.add_row(joint, *("-" if value is None else f"{value:.3g}" for value in cells))
    return table


def size(count: int) -> str:
    """Write a number of bytes in the unit that suits it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
