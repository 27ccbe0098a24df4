"""Pieces of a page: sections, tables, numbers in words. All text from a store is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

BAD, WARN, GOOD = "bad", "warn", "good"
DASH = "–"


class Finding(NamedTuple):
    """One sentence that a reader must not miss. level: `bad`, `warn` or `good`."""

    level: str
    text: str


class Section(NamedTuple):
    """A part of the page.

    html      its content, without the title
    numbers   the same as plain data, fit for JSON once `plain` has seen it
    findings  what it says at the top of the page
    """

    title: str
    html: str
    numbers: dict[str, Any]
    findings: tuple[Finding, ...] = ()


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for a reader; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == int(value) and abs(value) < 1e15:
        words = f"{int(value):,}"
    elif abs(value) >= 1000:
        words = f"{value:,.0f}"
    else:
        words = f"{value:.{digits}g}"
    return words.replace("-", "−", 1) if value < 0 else words


def percent(share: float | None) -> str:
    """Write a share of 1; what is not all never reads as 100 %."""
    if share is None or not math.isfinite(share):
        return DASH
    value = 100 * share
    if 99.95 <= value < 100:
        return "> 99.9 %"
    return f"{value:.0f} %" if value in (0, 100) else f"{value:.1f} %"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def listing(lines: Iterable[str], limit: int = 20) -> str:
    """A list of lines, of many the first `limit`."""
    lines = list(lines)
    more = [f"and {len(lines) - limit:,} more"] if len(lines) > limit else []
    items = "".join(f"<li>{escape(line)}</li>" for line in [*lines[:limit], *more])
    return f"<ul>{items}</ul>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table whose first column names the rows; it scrolls by itself where a screen is narrow."""
    head = "".join(f"<th scope=col>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th scope=row>{escape(first)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f"<div class=scroll tabindex=0><table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and what is known of them."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs if value)
    return f"<dl>{items}</dl>"


def figures(charts: Iterable[str]) -> str:
    """Charts side by side where there is room, else one below the other."""
    return f"<div class=figures>{''.join(charts)}</div>"


def folded(summary: str, html: str) -> str:
    """What most readers need not see: a line that opens."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def plain(value: Any) -> Any:
    """The same value fit for JSON: numbers of Python, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
