"""How pictures look: few colours that grey and colour-blind eyes tell apart, one size of type, PNG and SVG of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...stores.errors import MissingExtraError, StoreWriteError

INK, FAINT, LINES, PAPER = "#1b2430", "#5b6673", "#d5dae0", "#ffffff"
# Of Okabe and Ito's set, so chosen that each is clearly lighter in grey than the one before it.
COLOURS = ("#1b2430", "#0072b2", "#d55e00", "#56b4e9", "#e0b400")
HATCHES = ("", "///", "...", "xxx", "\\\\\\")
MARKERS = ("o", "s", "^", "D", "v")
ENDINGS = (".png", ".svg")

# With a fixed salt and no date, the same figures give the same file.
_STYLE: Any = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINES,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "auglift",
    "text.parse_math": False,  # a run may be called `$1`
}
_NO_DATE = {".png": {"Software": None}, ".svg": {"Date": None}}


@contextmanager
def figure(width: float, height: float) -> Iterator[Any]:
    """Give an empty matplotlib figure of so many inches. MissingExtraError without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures need matplotlib: pip install matplotlib") from error
    with rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)


def save(picture: Any, stem: Path) -> list[Path]:
    """Save as .png and .svg, and return both. StoreWriteError where they cannot be written. Inside `figure`."""
    out = [stem.with_name(stem.name + ending) for ending in ENDINGS]
    for path in out:
        try:
            picture.savefig(path, dpi=150, metadata=_NO_DATE[path.suffix])
        except OSError as error:
            raise StoreWriteError(f"{path} cannot be written ({error.strerror or error})") from error
    return out
