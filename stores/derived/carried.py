"""What a derived store says of itself: warnings, findings about the ground truth and lineage, from its sources."""

from __future__ import annotations

from typing import Any

from ..format.schema import FORMAT_VERSION
from ..summaries.lineage import entry, joined, lineage
from .plan import DerivedPlan, FamilyPlan
from .sources import Source


def attributes(plan: DerivedPlan) -> dict[str, Any]:
    """The attributes of the group of a derived store, or of a family of one, without its configuration."""
    if isinstance(plan, FamilyPlan):
        about = {"format_version": FORMAT_VERSION, "family": plan.name, "store": plan.of}
        return {**about, "warnings": _warnings(plan), **_stated(plan)}
    truth = _ground_truth(plan)
    made = entry(
        plan.fingerprint,
        f"auglift-store {plan.command}",
        of=[source.store.fingerprint for source in plan.sources],
        options=dict(plan.options),
    )
    return {
        "dataset": plan.dataset,
        "warnings": _warnings(plan),
        **({"ground_truth": truth} if truth else {}),
        **_stated(plan),
        "lineage": joined([*(lineage(source.store, plan.family_fields) for source in plan.sources), [made]]),
    }


def _stated(plan: DerivedPlan) -> dict[str, dict[str, str]]:
    """Licences of the weights and terms of the data, as far as any source says them."""
    found: dict[str, dict[str, str]] = {"licences": {}, "terms": {}}
    for known in found:
        for source in plan.sources:
            found[known] |= source.store.attributes.get(known, {})
    return {key: values for key, values in found.items() if values}


def _warnings(plan: DerivedPlan) -> list[str]:
    """First those of whole stores, each once; then those of the sequences that were taken, under their new ids."""
    whole: dict[str, None] = {}
    by_id: dict[str, list[str]] = {}
    for number, source in enumerate(plan.sources):
        ids = set(source.root.sequences.table["id"].to_pylist())
        for warning in source.store.attributes.get("warnings", []):
            id = _sequence_of(warning, ids)
            if id is None:
                whole[warning] = None
            elif (number, id) in plan.renamed:
                by_id.setdefault(plan.renamed[number, id], []).append(warning[len(id) + 2 :])
    for id, note in plan.notes.items():
        by_id.setdefault(id, []).append(note)
    return [*whole, *(f"{id}: {text}" for id in plan.ids for text in by_id.get(id, []))]


def _sequence_of(warning: str, ids: set[str]) -> str | None:
    """`walk: variable frame rate` is about `walk`, where there is such a sequence; ids may hold colons too."""
    parts = warning.split(": ")
    heads = (": ".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
    return next((head for head in heads if head in ids), None)


def _ground_truth(plan: DerivedPlan) -> dict[str, Any] | None:
    """What was found of it when the sources were made: their figures are of their clips, and are not mixed."""
    found = [(source, source.store.attributes["ground_truth"]) for source in plan.sources if _has_truth(source)]
    if not found or not any(spec.name.startswith("target/") for spec in plan.fields):
        return None
    if len(found) == 1 and len(plan.sources) == 1 and len(plan.ids) == len(found[0][0].store.sequences):
        return found[0][1]
    notes = [
        f"of {source.store.attributes.get('dataset') or 'the store'} {source.store.fingerprint[:8]}, as a whole: "
        + ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in truth["median"].items() if value is not None
        )
        for source, truth in found
    ]
    return {
        "clips": sum(truth.get("clips", 0) for _, truth in found),
        "median": {},
        "problems": list(dict.fromkeys(problem for _, truth in found for problem in truth.get("problems", []))),
        "notes": [*notes, *(note for _, truth in found for note in truth.get("notes", []))],
    }


def _has_truth(source: Source) -> bool:
    truth = source.store.attributes.get("ground_truth")
    return isinstance(truth, dict) and isinstance(truth.get("median"), dict)
