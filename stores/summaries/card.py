"""The dataset card: a README.md inside a store that says to a reader, and to a hub, what the store is."""

from __future__ import annotations

import json
from typing import Any

from ..errors import StoreIncompleteError
from ..format.layout import CARD, SEQUENCES
from ..reading.store import FeatureStore
from .info import duration, summary

WARNINGS_SHOWN = 10

# Hubs sort datasets by these names.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def write_card(store: FeatureStore) -> str:
    """Write README.md into a finished store and return its text. The text is a function of the store alone."""
    if store.status != "complete":
        raise StoreIncompleteError(f"{store.url} is not complete; a card is written for a finished store")
    text = card(summary(store), store.attributes.get("licences", {}))
    store.location.write(CARD, text.encode())
    return text


def card(about: dict[str, Any], licences: dict[str, str]) -> str:
    """The card of a store.

    about      `summary.summary` of it
    licences   model -> licence of its weights, where the store says
    """
    name = about["dataset"] or "video"
    parts = [
        _front_matter(about, name),
        f"# Depth-aware 2D pose features: {name}",
        *_warnings(about["warnings"]),
        "2D joints of one person a frame (Human3.6M's 17), the detector's confidence, and the Uncertainty-Aware Depth "
        "Descriptor of every joint (AugLift, arXiv 2508.07112), made from video by auglift. Lifters train on it "
        "without the video.",
        _contents(about),
        _table(
            ("field", "a frame", "dtype", "unit", "meaning"),
            [
                (f"`{field}`", " x ".join(map(str, f["shape"])) or "scalar", f["dtype"], f["unit"], f["meaning"])
                for field, f in about["fields"].items()
            ],
        ),
        "## How it was made",
        _table(
            ("network", "name", "weights", "licence of the weights"),
            [
                (kind, model["name"], model["weights"], licences.get(model["name"], "see its origin"))
                for kind, model in about["models"].items()
            ],
        ),
        *_families(about["families"]),
        "The whole configuration is in `plan.json`; its fingerprint, the sha256 of that configuration, is "
        f"`{about['fingerprint']}`.",
        "Frames where nobody was found, or that could not be read, have `valid` 0 and hold NaN. The features are the "
        "networks' output and carry their errors; who appears in the videos, and under which terms these may be used, "
        "is for the videos' owner to say.",
        "## How to read it",
        "```python\n"
        "from auglift.stores.reading.store import FeatureStore\n\n"
        'store = FeatureStore.open("this folder, or its URL")\n'
        'store.read("keypoints", 0, 100)  # (100, 17, 2) float32, px\n'
        "```",
        "It is a Zarr group (version 3): `xarray.open_zarr(path)` opens it too. `sequences.parquet` says where each "
        "sequence begins on the frame axis.",
        "`sha256sum --check SHA256SUMS` checks all but the arrays, `auglift-store verify --deep` all of it.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _families(families: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each complete family of fields that was added later."""
    lines = []
    for name, family in families.items():
        if family["status"] == "complete":
            made = ", ".join(
                f"{kind} {model['name']} (weights: {model['weights']})" for kind, model in family["models"].items()
            )
            fields = ", ".join(f"`{field}`" for field in family["fields"])
            lines.append(f"- {fields}: {made}. `families/{name}/plan.json`, fingerprint `{family['fingerprint']}`")
    return ["Added to the finished store:", "\n".join(lines)] if lines else []


def _front_matter(about: dict[str, Any], name: str) -> str:
    size = next((label for limit, label in _SIZES if about["frames"] < limit), "10M<n<100M")
    return "\n".join(
        [
            "---",
            # JSON strings are YAML strings too, whatever is in them.
            f"pretty_name: {json.dumps(f'Depth-aware 2D pose features: {name}')}",
            "license: other",
            "task_categories:",
            "- keypoint-detection",
            "- depth-estimation",
            "tags:",
            "- human-pose-estimation",
            "- 2d-to-3d-lifting",
            "- zarr",
            "- auglift",
            "size_categories:",
            f'- "{size}"',
            "configs:",
            "- config_name: sequences",
            f"  data_files: {SEQUENCES}",
            "---",
        ]
    )


def _warnings(warnings: list[str]) -> list[str]:
    """Of many, the first: those of the whole store come before those of its sources."""
    more = len(warnings) - WARNINGS_SHOWN
    told = [f"> **{warning}**" for warning in warnings[:WARNINGS_SHOWN]]
    return [*told, f"> and {more} more: `auglift-store info --json`"] if more > 0 else told


def _contents(about: dict[str, Any]) -> str:
    counts, sequences = about["counts"], about["sequences"]
    length = f" ({duration(about['seconds'])})" if about["seconds"] is not None else ""
    lines = [
        f"- {about['frames']} frames{length} of {sequences['count']} sequences",
        f"- valid: {counts.get('valid', 0)}; nobody found: {counts.get('nobody', 0)}; unreadable: "
        f"{counts.get('unreadable', 0)}",
    ]
    for key, title in (("split", "splits"), ("subject", "subjects"), ("camera", "cameras")):
        named = {value: frames for value, frames in sequences[key].items() if value}
        if named:
            lines.append(f"- {title}: " + ", ".join(f"{value} ({frames} frames)" for value, frames in named.items()))
    return "\n".join(lines)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
