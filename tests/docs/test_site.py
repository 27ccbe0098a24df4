"""mkdocs.yml, docs/site/pages.py: the site is built without a broken link, and shows what lies outside of docs/ too."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("mkdocs", reason="needs mkdocs-material: pip install 'auglift[docs]'")
pytest.importorskip("material", reason="needs mkdocs-material: pip install 'auglift[docs]'")

ROOT = Path(__file__).resolve().parents[2]


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    # Not --quiet: warnings that are not shown are not counted as errors either.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=settings, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "site" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_page_the_readme_tutorials_and_the_sources_that_pages_name(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {f"{name}.html" for name in [*pages, "index", "CONTRIBUTING"]} <= {path.name for path in site.glob("*.html")}
    assert "Six commands" in (site / "index.html").read_text()
    assert "JointsThenFrames" in (site / "repository" / "examples" / "own_lifter.py.html").read_text()
    tutorials = {path.stem for path in (ROOT / "docs" / "tutorials").glob("[!_]*.py")}
    assert {path.stem for path in (site / "tutorials").glob("*.html")} == tutorials


def test_links_and_pictures_lead_to_files_of_the_site(site):
    """Read off the pages themselves, whatever the builder says."""
    lost = []
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"#:?]+)(?:[#?][^"]*)?"', page.read_text()):
            if page.name != "404.html" and not (page.parent / target).exists():
                lost.append(f"{page.relative_to(site)}: {target}")
    assert lost == []


def test_pages_ask_no_other_server_for_anything(site):
    for page in site.rglob("*.html"):
        assert re.findall(r'<(?:script|link rel="stylesheet"|img)[^>]*(?:src|href)="https?:', page.read_text()) == []


@pytest.mark.parametrize(
    ("link", "says"),
    [("[x](nowhere.md)", "nowhere.md"), ("[x](../nowhere.py)", "nowhere.py"), ("[x](install.md#nowhere)", "nowhere")],
)
def test_a_broken_link_is_an_error(tmp_path, link, says):
    for name in ("README.md", "CONTRIBUTING.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "docs" / "speed.md").write_text(f"# Speed\n\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def test_a_script_becomes_text_commands_and_python_in_its_order(pages):
    head = '"""Title\n\nIntroduction."""\n\nfrom _shell import sh\n\n'
    assert pages.tutorial(head + '# %%\n# Said.\nsh("a b")\nsh("c" " d")\n\n# %%\nx = 1\n') == (
        "# Title\n\nIntroduction.\n\nSaid.\n\n```sh\na b\nc d\n```\n\n```python\nx = 1\n```\n"
    )
