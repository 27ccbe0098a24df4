"""Run every benchmark of this folder and rewrite docs/performance.md; with --only, the other figures stay.

The document has a section a machine (`## `) and in it one a benchmark (`### `), and is its own memory: it is read, the
sections that were measured are put in the place of the old ones, and it is written again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from .harness import HEADINGS, Row, cells, machine, number, question, show, versions

FOLDER = Path(__file__).resolve().parent
DOCUMENT = FOLDER.parent / "docs" / "performance.md"
OF_ITS_OWN = {"rivals"}  # it needs an environment of its own: only where --only names it
NOT_BENCHMARKS = {"__init__", "harness", "run"}
INTRODUCTION = """# Performance

Written by `make bench`, never by hand. Figures are medians; a ratio is the median over pairs that ran one after the
other in one process, so that it holds on a machine that does other things too. Figures of different machines have
sections of their own and are not to be compared.

**Not measured: a GPU.** None was at hand. What is wanted of the depth pass on one H100 or H200 is Depth Anything V2
large at 250 square frames a second or 120 of 16:9, small at 1,000, the whole pass at 90 % of that, detector and pose
in less than a tenth of the depth network's time. `python -m benchmarks.extract` measures all of it on a machine that
has one; as long as no section with a GPU's name stands below, nobody has. What can be held without one is tested on a
pretended GPU: how often the host waits, how many operations a batch starts, that copies and work are in order
([speed](speed.md)). """


def names() -> list[str]:
    """List the benchmarks: modules, and folders with a `__main__`."""
    files = {path.stem for path in FOLDER.glob("*.py")} | {path.parent.name for path in FOLDER.glob("*/__main__.py")}
    return sorted(files - NOT_BENCHMARKS)


def run(name: str, quick: bool) -> list[Row] | None:
    """Run one in a process of its own, so that one that fails stops no other; None where it failed."""
    call = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(call, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True)
    try:
        return [Row(**row) for row in json.loads(done.stdout)] if done.returncode == 0 else None
    except (json.JSONDecodeError, TypeError):
        return None


def source(name: str) -> Path:
    """Return the file that is run: a module, or a folder's `__main__`."""
    file = FOLDER / f"{name}.py"
    return file if file.exists() else FOLDER / name / "__main__.py"


def question_of(name: str) -> str:
    """Return a benchmark's question, without importing what the benchmark imports."""
    import ast

    return question(ast.get_docstring(ast.parse(source(name).read_text())))


def table(name: str, rows: Sequence[Row], quick: bool) -> str:
    """Write one benchmark's part of the document."""
    command = f"python -m benchmarks.{name}{' --quick' if quick else ''}"
    lines = [question_of(name), "", f"`{command}` ({versions()})", ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def read(text: str) -> dict[str, dict[str, str]]:
    """Read a document as {machine: {benchmark: its part}}; what precedes the first machine is written anew."""
    found: dict[str, dict[str, str]] = {}
    for section in text.split("\n## ")[1:]:
        heading, *parts = section.split("\n### ")
        found[heading.strip()] = {
            name.strip(): body.strip() for name, _, body in (part.partition("\n") for part in parts)
        }
    return found


def write(sections: dict[str, dict[str, str]]) -> str:
    """Write the document that `read` reads: machines in the order they came, benchmarks by name."""
    out = [INTRODUCTION]
    for heading, parts in sections.items():
        out.append(f"## {heading}\n")
        out += [f"### {name}\n\n{parts[name]}\n" for name in sorted(parts)]
    return "\n".join(out)


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Each under a minute on two cores.")
@click.option("--only", multiple=True, metavar="NAME", help="Run this one; may be given several times.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    there = names()
    if unknown := sorted(set(only) - set(there)):
        raise click.UsageError(f"no benchmark '{unknown[0]}'; there are {', '.join(there)}")
    sections = read(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    here = sections.setdefault(machine(), {})
    failed, missed = [], 0
    for name in only or [name for name in there if name not in OF_ITS_OWN]:
        click.echo(f"benchmarks.{name}: {question_of(name)}", err=True)
        rows = run(name, quick)
        if rows is None:
            failed.append(name)
            continue
        show(rows, question_of(name))
        missed += sum(row.met is False for row in rows)
        here[name] = table(name, rows, quick)
        # After each, so that an interruption loses one at most.
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(write(sections))
    click.echo(f"{DOCUMENT.relative_to(FOLDER.parent)} written; {number(missed)} wanted figures missed", err=True)
    if failed:
        click.echo(f"failed, their old figures kept: {', '.join(failed)}", err=True)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
