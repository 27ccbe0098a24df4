"""What a trainer installs: no extra, and so no Ray, no OpenMMLab, no transformers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CHECK = """
import importlib, pkgutil, sys
import auglift.stores, auglift.lifters
for room in (auglift.stores, auglift.lifters):
    for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(found.name)
absent = {"ray", "transformers", "mmdet", "mmpose", "mmengine", "mmcv", "av"}
assert not absent & set(sys.modules), absent & set(sys.modules)
for name in absent:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} was installed")
print("imported", sum(name.startswith("auglift.") for name in sys.modules))
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_install_without_extras_imports_stores_and_lifters(tmp_path):
    uv = shutil.which("uv") or ROOT / ".tools" / "bin" / "uv"
    if not Path(uv).exists():
        pytest.skip("needs uv")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".venv", ".git", ".tools", "*.zarr", "runs"))
    environment = {**os.environ, "UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
    venv = tmp_path / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    python = venv / "bin" / "python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, source], check=True, cwd=source, env=environment
    )
    done = subprocess.run([python, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("imported ")
    shown = subprocess.run([venv / "bin" / "auglift-store", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    # The depth pass is not installed; its command says which extra is missing, in one line.
    video = subprocess.run(
        [venv / "bin" / "auglift-prep", "video", "a.mp4", "--out", "x.zarr"], capture_output=True, text=True
    )
    assert video.returncode == 2
    assert "auglift[prep]" in video.stderr
    assert len(video.stderr.strip().splitlines()) == 1
