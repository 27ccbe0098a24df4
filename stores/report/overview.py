"""What the store is: how far it is written, what made it, what was left out of it or warned of, and why."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from ..format.depth_unit import METRES
from ..summaries.info import duration
from .html import BAD, WARN, Finding, Section, facts, folded, listing, paragraph, percent

_SHOWN = 20


def overview(about: dict[str, Any]) -> Section:
    """Describe the store in short, from `summaries.info.summary`."""
    shards, counts = about["shards"], about["counts"]
    findings = []
    if about["status"] != "complete":
        findings.append(
            Finding(
                BAD,
                f"This store is still being written: {shards['finished']} of {shards['all']} shards are finished. "
                "Everything below is of those alone.",
            )
        )
    models = [
        (kind, f"{model['name']} (weights: {_short(model['weights'])})") for kind, model in about["models"].items()
    ]
    length = duration(about["seconds"])
    pairs = [
        ("dataset", about["dataset"]),
        ("frames", f"{about['frames']:,}{length and ', '}{length}"),
        ("sequences", f"{about['sequences']['count']:,}"),
        *((f"{key}s", _named(about["sequences"][key])) for key in ("split", "subject", "action", "camera")),
        ("frames with a person", f"{counts.get('valid', 0):,} ({percent(about['valid_share'])})" if counts else ""),
        *models,
        ("unit of depth", _unit(about["depth_unit"]) if _has_depth(about) else "none: joints and confidence alone"),
        ("later fields", "; ".join(f"@{name}: {_family(family)}" for name, family in about["families"].items())),
        ("fingerprint", about["fingerprint"][:16]),
    ]
    numbers = {key: about[key] for key in ("url", "status", "dataset", "frames", "seconds", "counts", "models")}
    return Section("The store", facts(pairs), {**numbers, "shards": shards}, tuple(findings))


def left_out(about: dict[str, Any], report: dict[str, Any]) -> Section:
    """List warnings, frames left out and why, from `summaries.info.summary` and `report`."""
    warnings, counts, truth = about["warnings"], about["counts"], about["ground_truth"] or {}
    findings = [Finding(WARN, text) for text in warnings[:3]]
    if len(warnings) > 3:
        findings.append(Finding(WARN, f"{len(warnings) - 3:,} more warnings: see Left out and warned of"))
    findings += [Finding(WARN, text) for text in truth.get("problems", [])[:3]]
    empty = [row["id"] for row in report["sequences"] if row["frames"] and not row["valid"]]
    if empty:
        findings.append(Finding(BAD, f"{len(empty):,} sequences have no person in any frame: {_some(empty)}"))
    unreadable = counts.get("unreadable", 0)
    reasons = Counter(re.sub(r"\d+", "N", problem["reason"]) for problem in report["problems"])
    pairs = [
        ("nobody found", f"{counts.get('nobody', 0):,} frames"),
        ("could not be read", f"{unreadable:,} frames"),
        ("sequences with nobody", f"{len(empty):,}"),
    ]
    parts = [facts(pairs)]
    if empty or unreadable or counts.get("nobody"):
        parts.append(paragraph("Such frames stay in the store, marked as not valid; windows leave them out."))
    for title, lines in (
        ("Warnings", warnings),
        ("Ground truth, looked at before the pass", [*truth.get("problems", []), *truth.get("notes", [])]),
        ("Sequences without a person", empty),
        ("Why frames could not be read", [f"{text} ({n:,} of those listed)" for text, n in reasons.most_common()]),
        ("Later fields", [f"@{name}: {w}" for name, f in about["families"].items() for w in _warned(f)]),
    ):
        if lines:
            parts.append(f"<h3>{title}</h3>{listing(lines, _SHOWN)}")
    if report["problems"]:
        lines = [f"{p['sequence']}, frame {p['source_frame']}: {p['reason']}" for p in report["problems"]]
        parts.append(folded(f"The first {len(lines):,} frames that could not be read", listing(lines, 50)))
    if not (warnings or empty or unreadable or counts.get("nobody")):
        parts.append(paragraph("Nothing was left out, and nothing was warned of."))
    numbers = {
        "nobody": counts.get("nobody", 0),
        "unreadable": unreadable,
        "empty_sequences": empty,
        "warnings": warnings,
        "ground_truth": about["ground_truth"],
        "reasons": dict(reasons),
    }
    return Section("Left out and warned of", "".join(parts), numbers, tuple(findings))


def _warned(family: dict[str, Any]) -> list[str]:
    return [family["reason"]] if family["status"] == "damaged" else list(family["warnings"])


def _family(family: dict[str, Any]) -> str:
    models = ", ".join(f"{kind} {model['name']}" for kind, model in family["models"].items())
    return ", ".join(part for part in (family["status"], models) if part)


def _has_depth(about: dict[str, Any]) -> bool:
    return any(name.startswith("uadd/") for name in about["fields"])


def _unit(unit: str) -> str:
    return "metres" if unit == METRES else "relative: larger is farther, no metres"


def _named(frames: dict[str, int]) -> str:
    names = [name for name in frames if name]
    return _some(names) if names else ""


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")


def _short(weights: str) -> str:
    return re.sub(r"(sha256:[0-9a-f]{8})[0-9a-f]+", r"\1…", weights)
