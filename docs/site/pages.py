"""A hook of MkDocs: scripts that are tutorials become pages, and so does what pages link to outside of docs/.

Links are written for the forge, relative to the file they stand in (`../README.md`, `../examples/own_lifter.py`).
Here the files they lead to are added to the site, and the links follow; MkDocs then checks all of them (`strict`).
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

README, INDEX = "README.md", "index.md"
DOCS, TUTORIALS = "docs", "docs/tutorials"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=(?:#[^)\s]*)?\))")
_FENCE = re.compile(r"^(```.*?^```\s*?)$", flags=re.S | re.M)

# Page of the site -> its file in the repository, where that is not docs/<page>.
_origin: dict[str, str] = {}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made: of the README, of tutorials, and of what any page links to outside of docs/."""
    root = Path(config.config_file_path).parent
    _origin.clear()
    pages = [file for file in files if file.is_documentation_page()]
    wanted = [README, *sorted(path.relative_to(root).as_posix() for path in (root / TUTORIALS).glob("[!_]*.py"))]
    seen: set[str] = set()
    while wanted or pages:
        for path in wanted:
            if path not in seen and (root / path).is_file():
                seen.add(path)
                made = File.generated(config, _page_of(path), content=_markdown(path, (root / path).read_text()))
                _origin[made.src_uri] = path
                files.append(made)
                pages.append(made)
        wanted = [path for page in pages for path in _linked(page) if not _is_in_site(path)]
        wanted = [path for path in wanted if path not in seen and (root / path).is_file()]
        pages = []
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to their pages."""
    source = page.file.src_uri

    def turned(match: re.Match[str]) -> str:
        return posixpath.relpath(_page_of(_target(source, match[1])), posixpath.dirname(source) or ".")

    parts = _FENCE.split(markdown)
    return "".join(part if index % 2 else _LINK.sub(turned, part) for index, part in enumerate(parts))


def tutorial(text: str) -> str:
    """The Markdown of a script: its docstring, then its parts. `# %%` begins one: comments are text, the rest is code.

    What stands before the first part is not shown, and a part that only calls `sh("...")` is shown as the commands.
    """
    module = ast.parse(text)
    cells = re.split(r"^# %%.*\n", text, flags=re.M)[1:]
    return "\n\n".join([f"# {ast.get_docstring(module)}", *(_cell(cell) for cell in cells)]) + "\n"


def _cell(cell: str) -> str:
    lines = cell.strip("\n").split("\n")
    count = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    said = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:count])
    code = "\n".join(lines[count:]).strip("\n")
    if not code:
        return said
    commands = [_command(statement) for statement in ast.parse(code).body]
    block = "```sh\n" + "\n".join(map(str, commands)) if all(commands) else f"```python\n{code}"
    return f"{said}\n\n{block}\n```".lstrip()


def _command(statement: ast.stmt) -> str | None:
    """What `sh("...")` runs; None for other statements."""
    match statement:
        case ast.Expr(ast.Call(ast.Name("sh"), [ast.Constant(str(command))])):
            return command
    return None


def _markdown(path: str, text: str) -> str:
    if path.startswith(f"{TUTORIALS}/"):
        run = f"\n\nThis page is a script: `python {path}`, from the repository's root, runs it. So do the tests.\n"
        return tutorial(text) + run
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````{Path(path).suffix.lstrip('.')}\n{text}\n````\n"


def _page_of(path: str) -> str:
    """Where in the site a file of the repository is."""
    if path == README:
        return INDEX
    inside = path.removeprefix(f"{DOCS}/")
    if path.startswith(f"{TUTORIALS}/"):
        return str(Path(inside).with_suffix(".md"))
    return inside if _is_in_site(path) or path.endswith(".md") else f"repository/{path}.md"


def _is_in_site(path: str) -> bool:
    return path.startswith(f"{DOCS}/") and not path.startswith(f"{TUTORIALS}/")


def _target(source: str, link: str) -> str:
    """The file of the repository that a link on a page of the site leads to."""
    origin = _origin.get(source, f"{DOCS}/{source}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))


def _linked(page: File) -> list[str]:
    return [_target(page.src_uri, link) for link in _LINK.findall(_FENCE.sub("", page.content_string))]
