"""The dataset card: a README.md inside a store that says to a reader, and to a hub, what the store is.

Beside it lies croissant.json, which says the same to machines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import StoreIncompleteError
from ..format.depth_unit import METRES
from ..format.layout import CARD, CROISSANT, SEQUENCES
from ..reading.store import FeatureStore
from .croissant import Publication, all_stated, croissant
from .info import duration, summary
from .lineage import lineage

WARNINGS_SHOWN = 10

# Hubs sort datasets by these names.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def write_card(store: FeatureStore, publication: Publication | None = None) -> str:
    """Write README.md and croissant.json into a finished store and return the text of the first.

    Both are functions of the store and of what its publisher says.
    """
    if store.status != "complete":
        raise StoreIncompleteError(f"{store.url} is not complete; a card is written for a finished store")
    about, commands, publication = summary(store), lineage(store), publication or Publication()
    text = card(about, all_stated(store), commands, publication)
    title = _title(about, about["dataset"] or "video")
    described = " ".join(part for part in (_purpose(about), _relative(about["depth_unit"])) if part)
    store.location.write(CROISSANT, croissant(store, title, described, commands, publication))
    store.location.write(CARD, text.encode())
    return text


def card(
    about: dict[str, Any],
    stated: Mapping[str, Mapping[str, str]],
    commands: Sequence[Mapping[str, Any]] = (),
    publication: Publication | None = None,
) -> str:
    """Write the card of a store.

    about      `summary.summary` of it
    stated     `licences` of the weights by network, `terms` of the data by data set, where the store says
    commands   its lineage
    """
    licences = stated["licences"]
    name = about["dataset"] or "video"
    parts = [
        _front_matter(about, name, publication or Publication()),
        f"# {_title(about, name)}",
        *_warnings(about["warnings"]),
        _purpose(about),
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
                if model["name"] != "none"
            ],
        ),
        *_families(about["families"], licences),
        _commands(commands),
        _relative(about["depth_unit"]),
        "The whole configuration is in `plan.json`; its fingerprint, the sha256 of that configuration, is "
        f"`{about['fingerprint']}`.",
        "Frames where nobody was found, or that could not be read, have `valid` 0 and hold NaN. The features are the "
        "networks' output and carry their errors; who appears in the videos, and under which terms these may be used, "
        "is for the videos' owner to say.",
        *(f"Terms of the data: {terms}." for terms in stated["terms"].values()),
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


def _purpose(about: dict[str, Any]) -> str:
    return (
        f"2D joints of one person a frame (Human3.6M's 17) {_beside(about)}, made from video by auglift. Lifters train "
        "on it without the video."
    )


def _commands(commands: Sequence[Mapping[str, Any]]) -> str:
    """The lineage as a list, as `auglift-store log` shows it."""
    lines = []
    for number, entry in enumerate(commands, 1):
        versions = ", ".join(f"{library} {version}" for library, version in entry["versions"].items())
        lines.append(f"{number}. `{entry['command']}`{f' ({versions})' if versions else ''}")
    return "\n".join(["Commands, in order (`auglift-store log`):", "", *lines]) if lines else ""


def _families(families: dict[str, dict[str, Any]], licences: Mapping[str, str]) -> list[str]:
    """A line for each complete family of fields that was added later."""
    lines = []
    for name, family in families.items():
        if family["status"] == "complete":
            made = ", ".join(
                f"{kind} {model['name']} (weights: {model['weights']}, licence: "
                f"{licences.get(model['name'], 'see its origin')})"
                for kind, model in family["models"].items()
            )
            fields = ", ".join(f"`{field}`" for field in family["fields"])
            lines.append(f"- {fields}: {made}. `families/{name}/plan.json`, fingerprint `{family['fingerprint']}`")
    return ["Added to the finished store:", "\n".join(lines)] if lines else []


def _front_matter(about: dict[str, Any], name: str, publication: Publication) -> str:
    size = next((label for limit, label in _SIZES if about["frames"] < limit), "10M<n<100M")
    return "\n".join(
        [
            "---",
            # JSON strings are YAML strings too, whatever is in them.
            f"pretty_name: {json.dumps(_title(about, name))}",
            *_licence(publication.licence),
            "task_categories:",
            "- keypoint-detection",
            *(["- depth-estimation"] if _has_depth(about) else []),
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


def _licence(given: str) -> list[str]:
    """As hubs read it: a name of SPDX in small letters, or `other` and where it is found."""
    if re.fullmatch(r"[A-Za-z0-9.+-]+", given):
        return [f"license: {given.lower()}"]
    return ["license: other", *([f"license_link: {json.dumps(given)}"] if given else [])]


def _has_depth(about: dict[str, Any]) -> bool:
    return any(name.startswith("uadd/") for name in about["fields"])


def _title(about: dict[str, Any], name: str) -> str:
    return f"Depth-aware 2D pose features: {name}" if _has_depth(about) else f"2D poses: {name}"


def _beside(about: dict[str, Any]) -> str:
    """What a joint has beside its place."""
    if not _has_depth(about):
        return "and the detector's confidence, without depth"
    return (
        "with the detector's confidence and the Uncertainty-Aware Depth Descriptor of every joint (AugLift, arXiv "
        "2508.07112)"
    )


def _warnings(warnings: list[str]) -> list[str]:
    """Of many, the first: those of the whole store come before those of its sources."""
    more = len(warnings) - WARNINGS_SHOWN
    shown = [f"> **{warning}**" for warning in warnings[:WARNINGS_SHOWN]]
    return [*shown, f"> and {more} more: `auglift-store info --json`"] if more > 0 else shown


def _relative(unit: str) -> str:
    if unit == METRES:
        return ""
    return (
        "Depth is relative: the network knows it but for a factor and a constant. In each frame 0 is the median of the "
        "torso's joints and 1 the torso's spread; larger is farther. No length in metres follows from it, and a lifter "
        "is not to be trained on it together with metric depth."
    )


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
