"""Contact sheet: the worst, the middling and the best frames by confidence, with their joints over the picture."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html import escape

import numpy as np

from ..errors import AugliftError, reason
from ..format.sequences import Sequence
from ..format.skeleton import H36M_17
from .html import Section, listing, number, paragraph
from .sample import Sample

TITLE = "Contact sheet"
EACH = 6
SIDE = 240  # px of a tile

View = tuple[float, float, float, float]  # left, top, right, bottom, px of the frame
# A part of a frame, by its number in the source, as JPEG of SIDE x SIDE px; AugliftError where it is not at hand.
FrameReader = Callable[[Sequence, int, View], bytes]


def sheet(sample: Sample, read_frame: FrameReader | None) -> Section:
    """Show frames with the lowest, the median and the highest mean confidence, each of another sequence if possible."""
    score = np.nanmean(sample["score"], axis=1) if len(sample.frame) else np.zeros(0)
    whole = np.isfinite(sample["keypoints"]).all((1, 2)) & np.isfinite(score)
    if not whole.any():
        return Section(TITLE, paragraph("No person in the frames looked at."), {"frames": {}})
    alike = float(np.ptp(score[whole])) < 1e-6
    parts, numbers, missing = [], {}, {}
    for kind, places in _choose(sample, score, whole, alike).items():
        tiles = []
        for place in places:
            sequence = sample.store.sequences[int(sample.row[place])]
            source = int(sample["source_frame"][place])
            view = view_of(sample["keypoints"][place])
            picture = None
            if read_frame is not None:
                try:
                    picture = read_frame(sequence, source, view)
                except AugliftError as error:
                    missing[sequence.id] = reason(error, 240)
            tiles.append(_tile(sample, place, sequence.id, source, view, picture))
        parts.append(f"<h3>{kind}</h3><div class=sheet>{''.join(tiles)}</div>")
        numbers[kind.lower()] = [
            {"frame": int(sample.frame[place]), "score": float(score[place]), "picture": None} for place in places
        ]
    text = (
        "Every joint has the same confidence here: the frames are spread evenly."
        if alike
        else "By the mean confidence of a frame's joints. Colour of a joint: red unsure, yellow, green sure."
    )
    above = [paragraph(text)]
    if read_frame is None:
        above.append(paragraph("Without pictures: no sources were looked for.", "note"))
    elif missing:
        above.append(
            paragraph("Pictures are missing where a source is not at hand (--videos names its folder):", "note")
        )
        above.append(listing(dict.fromkeys(missing.values()), 3))
    return Section(TITLE, "".join(above + parts), {"frames": numbers, "sources_missing": missing})


def view_of(keypoints: np.ndarray) -> View:
    """A square about the joints (17, 2), px."""
    low, high = keypoints.min(0).astype(np.float64), keypoints.max(0).astype(np.float64)
    half = max(float((high - low).max()) * 0.62, 8.0)
    x, y = (low + high) / 2
    return float(x - half), float(y - half), float(x + half), float(y + half)


def _choose(sample: Sample, score: np.ndarray, whole: np.ndarray, alike: bool) -> dict[str, list[int]]:
    known = np.flatnonzero(whole)
    if alike:
        places = (np.arange(min(EACH, len(known))) + 0.5) * len(known) / min(EACH, len(known))
        return {"Spread evenly": known[places.astype(int)].tolist()}
    order = known[np.argsort(score[known], kind="stable")]
    middle = len(order) // 2
    about = order[np.argsort(np.abs(np.arange(len(order)) - middle), kind="stable")]
    return {
        "Worst": _of_many(sample, order),
        "Median": _of_many(sample, about),
        "Best": _of_many(sample, order[::-1]),
    }


def _of_many(sample: Sample, order: np.ndarray) -> list[int]:
    """The first places in this order, of as many sequences as there are."""
    _, first = np.unique(sample.row[order], return_index=True)
    chosen = np.sort(first)[:EACH].tolist()
    rest = (n for n in range(len(order)) if n not in set(chosen))
    while len(chosen) < min(EACH, len(order)):
        chosen.append(next(rest))
    return order[sorted(chosen)].tolist()


def _tile(sample: Sample, place: int, id: str, source: int, view: View, picture: bytes | None) -> str:
    left, top, right, _ = view
    scale = SIDE / (right - left)
    xy = (sample["keypoints"][place] - (left, top)) * scale
    score = sample["score"][place]
    mean = float(np.nanmean(score))
    parts = []
    if picture is not None:
        data = b64encode(picture).decode()
        parts.append(f'<image href="data:image/jpeg;base64,{data}" width="{SIDE}" height="{SIDE}"/>')
    bones = "".join(f"M{xy[a, 0]:.0f} {xy[a, 1]:.0f}L{xy[b, 0]:.0f} {xy[b, 1]:.0f}" for a, b in H36M_17.bones)
    parts.append(f'<path class=bones d="{bones}"/>')
    for (x, y), sure in zip(xy, np.clip(np.nan_to_num(score), 0, 1), strict=True):
        parts.append(f'<circle class=joint cx="{x:.0f}" cy="{y:.0f}" r="4" fill="hsl({120 * sure:.0f} 75% 48%)"/>')
    words = f"{id}, frame {source}"
    return (
        f'<figure class=tile><svg viewBox="0 0 {SIDE} {SIDE}" role=img aria-label="{escape(words)}">{"".join(parts)}</svg>'
        f"<figcaption>{escape(words)}<br><b>{number(mean, 2)}</b></figcaption></figure>"
    )
