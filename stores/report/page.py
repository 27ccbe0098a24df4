"""The whole page: what sections there are, their order, and the style; nothing is fetched, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

from ..reading.store import FeatureStore
from ..summaries.info import report as report_of
from ..summaries.info import summary
from .confidence import distributions, radii
from .coverage import coverage
from .depth import TRUTH, depth
from .error import error
from .html import Section, plain
from .jumps import jumps
from .overview import left_out, overview
from .sample import MOST_FRAMES, descriptors, take_sample
from .sheet import FrameReader, sheet
from .times import times

Progress = Callable[[str, int, int], None]
_FIELDS = ("keypoints", "score", "bbox", "source_frame", "target/keypoints", TRUTH)


class Page(NamedTuple):
    """A report: html, the whole page; numbers, the same as plain data fit for JSON."""

    html: str
    numbers: dict[str, Any]


def make_page(
    store: FeatureStore,
    read_frame: FrameReader | None = None,
    seconds: dict[str, Any] | None = None,
    most: int = MOST_FRAMES,
    seed: int = 0,
    progress: Progress = lambda step, done, of: None,
) -> Page:
    """Look at a store, also at one that is still being written, and make the page.

    read_frame  pictures for the contact sheet; None: it shows joints alone
    seconds     of the depth pass, see `times.read_times`
    most, seed  so many frames are looked at, chosen by the seed, where all are too many; coverage and jumps read all
    Raises as `FeatureStore.read`.
    """
    about, rows = summary(store), report_of(store)
    names = descriptors(store)
    fields = [*_FIELDS, *names, *(name.replace("uadd/", "radius/", 1) for name in names)]
    sample = take_sample(store, fields, most, seed)
    parts: tuple[Callable[[], Section], ...] = (
        lambda: overview(about),
        lambda: left_out(about, rows),
        lambda: sheet(sample, read_frame),
        lambda: coverage(store, rows),
        lambda: distributions(sample),
        lambda: radii(sample),
        lambda: depth(sample),
        lambda: error(sample, about["agreement"]),
        lambda: jumps(store),
        lambda: times(seconds),
    )
    sections = []
    for number, part in enumerate(parts):
        progress("report", number, len(parts))
        sections.append(part())
    progress("report", len(parts), len(parts))
    numbers: dict[str, Any] = {
        "sample": {"frames": sample.looked_at, "of": sample.of, "with_a_person": len(sample.frame), "seed": seed}
    }
    numbers |= {slug(section.title): section.numbers for section in sections}
    numbers["findings"] = [list(finding) for section in sections for finding in section.findings]
    words = f"Coverage and jumps are counted over every frame; the rest looks at {sample.words}."
    return Page(_html(store, sections, words), plain(numbers))


def slug(title: str) -> str:
    """`Confidence and depth by joint` to `confidence_and_depth_by_joint`."""
    return title.lower().replace(" ", "_").removeprefix("the_")


def _html(store: FeatureStore, sections: list[Section], words: str) -> str:
    name = store.url.rstrip("/").rsplit("/", 1)[-1]
    order = {"bad": 0, "warn": 1, "good": 2}
    findings = sorted((finding for section in sections for finding in section.findings), key=lambda f: order[f.level])
    lines = "".join(f"<li class={level}>{escape(text)}</li>" for level, text in findings)
    links = "".join(f'<a href="#{slug(section.title)}">{escape(section.title)}</a>' for section in sections)
    body = "".join(
        f"<section id={slug(section.title)}><h2>{escape(section.title)}</h2>{section.html}</section>"
        for section in sections
    )
    # The policy makes a browser refuse whatever a page might fetch or run.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark"><link rel=icon href="data:,">'
        f"<title>{escape(name)}: a look before training</title><style>{_STYLE}</style></head>"
        f"<body><header><p class=kicker>auglift store report</p><h1>{escape(name)}</h1>"
        f"<p class=caption>{escape(words)}</p></header><main>"
        f"<section class=findings><h2>What to look at</h2><ul>{lines}</ul></section>"
        f"<nav>{links}</nav>{body}</main></body></html>\n"
    )


_STYLE = """
:root{--paper:#f5f6f8;--card:#fff;--ink:#18202b;--muted:#5a6675;--line:#dfe3e9;--grid:#e8ebf0;--accent:#2f5fd0;
--fill:#2f5fd026;--second:#c2570c;--bad:#b3261e;--warn:#8a5a00;--good:#1d6b3a;--tile:#e6e9ee;--bone:#3c4757}
@media(prefers-color-scheme:dark){:root{--paper:#101419;--card:#181e26;--ink:#e6eaf0;--muted:#9aa6b5;--line:#2c3542;
--grid:#262e39;--accent:#7fa6ff;--fill:#7fa6ff2e;--second:#f2a35e;--bad:#ff8a80;--warn:#f0c060;--good:#7fd39a;
--tile:#232b36;--bone:#c5cedb}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
header,main{max-width:1200px;margin:0 auto;padding:0 16px}
header{padding-top:28px}
h1{font-size:28px;line-height:1.2;margin:2px 0 6px}
h2{font-size:19px;line-height:1.3;margin:0 0 10px}
h3{font-size:15px;margin:18px 0 8px}
p{margin:0 0 10px;max-width:80ch}header .caption{max-width:none}section>:last-child{margin-bottom:0}
.kicker{margin:0;color:var(--muted);font-size:12px;letter-spacing:.08em;text-transform:uppercase}
.caption{color:var(--muted);font-size:13px}
@media(prefers-color-scheme:dark){.points{stroke-opacity:.62!important}}
p.warn,p.note{color:var(--warn)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px;margin:14px 0;
scroll-margin-top:10px}
nav{display:flex;flex-wrap:wrap;gap:6px 8px;margin:14px 0}
nav a{color:var(--accent);text-decoration:none;font-size:13px;border:1px solid var(--line);border-radius:99px;
padding:3px 11px;background:var(--card)}
nav a:hover,nav a:focus-visible{border-color:var(--accent)}
.findings ul{list-style:none;margin:0;padding:0}
.findings li{padding:7px 0 7px 12px;border-left:4px solid;margin:6px 0}
.findings li::before{font-weight:700;margin-right:.5em}
.bad{border-color:var(--bad)!important}.bad::before{content:"Stop";color:var(--bad)}
li.warn{border-color:var(--warn)}li.warn::before{content:"Look";color:var(--warn)}
li.good{border-color:var(--good)}li.good::before{content:"Good";color:var(--good)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:10px 24px;margin:0 0 12px}
dt{color:var(--muted);font-size:12px}dd{margin:0}
ul{margin:0 0 10px;padding-left:20px}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));
gap:18px 26px;align-items:start}
.tables{display:flex;flex-wrap:wrap;gap:4px 44px;align-items:start}.tables .scroll{max-width:100%}
.beside{flex:0 1 400px;min-width:min(100%,300px)}
figure{margin:0;min-width:0;max-width:460px}
figcaption{font-weight:600;font-size:13.5px;margin-bottom:4px}
figure svg{display:block;width:100%;height:auto}
figure .caption{margin:4px 0 0}
svg text{fill:var(--ink);font:11px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
svg .tick,svg .label{fill:var(--muted)}
svg .tick{font-size:10px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--grid);fill:none}
.hill{fill:var(--fill);stroke:var(--accent);stroke-width:1.1;stroke-linejoin:round}
.median{stroke:var(--second);stroke-width:2;fill:none}
.dot{fill:var(--accent)}.range{stroke:var(--accent);stroke-opacity:.35;stroke-width:6;stroke-linecap:round}
.mark{stroke:var(--second);stroke-dasharray:3 3;fill:none}
.equal{stroke:var(--second);stroke-dasharray:5 4;stroke-width:1.4;fill:none}
.points{stroke:var(--accent);stroke-opacity:.45;stroke-width:2.6;stroke-linecap:round;fill:none}
.bar{fill:var(--accent);fill-opacity:.8}
.scroll{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);padding-bottom:4px}
th,td{padding:4px 14px 4px 0;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child{text-align:left;font-weight:500}thead th{color:var(--muted);font-weight:500}
details{margin:12px 0}summary{cursor:pointer;color:var(--accent)}
.sheet{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:12px}
.tile{max-width:none}
.tile svg{background:var(--tile);border-radius:6px}
.tile figcaption{font-weight:400;font-size:11.5px;color:var(--muted);line-height:1.35;margin-top:4px}
.tile b{color:var(--ink)}
.bones{stroke:var(--bone);stroke-width:2.4;fill:none;stroke-linecap:round}
image~.bones{stroke:#fff;stroke-opacity:.85}
.joint{stroke:#0008;stroke-width:1}
@media(max-width:860px){.sheet{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media(max-width:480px){header,main{padding-left:10px;padding-right:10px}section{padding:14px 12px}
.sheet{gap:8px}dl{grid-template-columns:1fr 1fr;gap:8px 14px}.figures{gap:22px}}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
