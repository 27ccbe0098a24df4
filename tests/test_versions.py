"""The oldest declared versions and the newest: published weights load in an environment of each."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LOADING = (
    "tests/pipeline/networks/test_published_depth.py",
    "tests/pipeline/networks/own_networks/test_vitpose.py",
    "tests/pipeline/networks/own_networks/test_transformers_detector.py",
    "tests/pipeline/networks/weights/test_model_folder.py",
    "tests/pipeline/networks/test_openmmlab_files.py",
    "tests/pipeline/networks/weights/test_places.py",
    "tests/pipeline/networks/weights/test_load.py",
    "tests/pipeline/networks/weights/test_fetch.py",
    "tests/pipeline/networks/test_real_detector.py",
    "tests/cli/prep/test_published_weights.py",
)
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "onnx", "onnxruntime", "pyyaml")


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_published_weights_load_with_the_lowest_declared_versions_and_with_the_newest(tmp_path, resolution):
    """torch is the installed one in both: a registry's own for Linux brings gigabytes of CUDA."""
    uv = shutil.which("uv") or ROOT / ".tools" / "bin" / "uv"
    if not Path(uv).exists():
        pytest.skip("needs uv")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    # The pins of `make install` are left out, and so is what mmpose lists without need.
    overrides, constraints = tmp_path / "overrides.txt", tmp_path / "constraints.txt"
    overrides.write_text("\n".join(settings["override-dependencies"]))
    constraints.write_text(f"torch=={importlib.metadata.version('torch')}\n")
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".venv", ".git", ".tools", ".typing", "build", "*.zarr", "runs")
    shutil.copytree(ROOT, source, ignore=ignored)
    environment = {**os.environ, "UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", ""), "OMP_NUM_THREADS": "1"}
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(uv), "pip", "install", "--quiet", "--no-config", "--python", str(python)]
    install += ["--override", str(overrides), "--constraint", str(constraints)]

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]

    run(str(uv), "venv", "--quiet", "--no-config", "--python", sys.executable, str(tmp_path / "venv"))
    run(*install, "--resolution", resolution, f"{source}[prep,train]")
    run(*install, *TOOLS)
    run(str(python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *LOADING)
