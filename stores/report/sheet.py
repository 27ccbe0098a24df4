"""Contact sheet: the worst, the middling and the best frames by confidence, with their joints over the picture."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html import escape

import numpy as np

from ..errors import AugliftError, reason
from ..format.sequences import Sequence
from ..format.skeleton import H36M_17
from .html import Section, number, paragraph
from .sample import Sample

TITLE = "Contact sheet"
EACH = 6
SIDE = 240  # px of a tile
_NEAR = 12  # frames: two so near show the same

View = tuple[float, float, float, float]  # left, top, right, bottom, px of the frame
# A part of a frame, by its number in the source, as JPEG of SIDE x SIDE px; AugliftError where it is not at hand.
FrameReader = Callable[[Sequence, int, View], bytes]


def sheet(sample: Sample, read_frame: FrameReader | None) -> Section:
    """Show frames with the lowest, the median and the highest mean confidence, each of another sequence if possible."""
    known = np.isfinite(sample["score"])
    score = np.where(known, sample["score"], 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)
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
        numbers[kind.lower()] = [{"frame": int(sample.frame[place]), "score": float(score[place])} for place in places]
    text = (
        "Every joint has the same confidence here: the frames are spread evenly."
        if alike
        else "By the mean confidence of a frame's joints. Colour of a joint: red unsure, yellow, green sure."
    )
    above = [paragraph(text)]
    if read_frame is None:
        above.append(paragraph("Without pictures: no sources were looked for.", "note"))
    elif missing:
        text = f"{len(missing)} sequences are shown without pictures. The first: {next(iter(missing.values()))}."
        above.append(paragraph(text, "note"))
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
    some = max(EACH, len(order) // 10)  # a tenth of the frames is worst, a tenth is best
    first = (len(order) - some) // 2
    middle = order[max(first, 0) : max(first, 0) + some]
    middle = middle[np.argsort(np.abs(np.arange(len(middle)) - len(middle) // 2), kind="stable")]
    return {
        "Worst": _unlike(sample, order[:some]),
        "Median": _unlike(sample, middle),
        "Best": _unlike(sample, order[::-1][:some]),
    }


def _unlike(sample: Sample, places: np.ndarray) -> list[int]:
    """Of these, in their order, those that are of as many sequences as there are and do not follow one another."""
    frame, row = sample.frame[places], sample.row[places]
    times, near = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    chosen: list[int] = []
    for _ in range(min(EACH, len(places))):
        taken = np.isin(np.arange(len(places)), chosen)
        one = int(np.lexsort((np.arange(len(places)), times, near, taken))[0])
        chosen.append(one)
        times += row == row[one]
        near += np.abs(frame - frame[one]) < _NEAR
    return places[sorted(chosen)].tolist()


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
        f'<figure class=tile><svg viewBox="0 0 {SIDE} {SIDE}" role=img aria-label="{escape(words)}">'
        f"{''.join(parts)}</svg>"
        f"<figcaption>{escape(words)}<br><b>{number(mean, 2)}</b></figcaption></figure>"
    )
