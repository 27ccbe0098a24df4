"""One configuration, one canonical JSON text, one fingerprint; and what differs between two of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """Write plain data as JSON in one form: keys sorted, no blanks, no NaN. ValueError for what JSON cannot hold."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(configuration: Mapping[str, Any]) -> str:
    """Return the sha256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical_json(configuration).encode()).hexdigest()


def differing_keys(ours: Any, theirs: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """List (dotted key, our value, their value) where two configurations differ; `None` where one has no such key."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}):
            path = f"{prefix}.{key}" if prefix else str(key)
            if key in ours and key in theirs:
                yield from differing_keys(ours[key], theirs[key], path)
            else:
                yield path, ours.get(key), theirs.get(key)
    elif canonical_json(ours) != canonical_json(theirs):  # as the fingerprint sees them: 1 is neither 1.0 nor true
        yield prefix or "configuration", ours, theirs


def describe_difference(
    ours: Any, theirs: Any, limit: int = 6, where: tuple[str, str] = ("here", "in the store")
) -> str:
    """Write the keys that differ in one line: `batch: 8 here, 4 in the store; ...`.

    where   what the two sides are called
    """
    found = list(differing_keys(ours, theirs))
    parts = [f"{key}: {_short(here)} {where[0]}, {_short(there)} {where[1]}" for key, here, there in found[:limit]]
    if len(found) > limit:
        parts.append(f"and {len(found) - limit} more")
    return "; ".join(parts) or "no key (the fingerprint alone differs)"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} entries"
    text = canonical_json(value)
    return text if len(text) <= 40 else text[:37] + "..."
