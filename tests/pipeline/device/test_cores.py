"""pipeline/device/cores.py: the process's own share of the machine, and never as many decoding threads as cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from auglift.pipeline.device import cores
from auglift.pipeline.device.cores import decoder_threads, usable_cores


@pytest.fixture
def groups(tmp_path, monkeypatch) -> Path:
    """A machine of 64 cores whose control groups a test writes."""
    (tmp_path / "fs").mkdir()
    (tmp_path / "self").write_text("0::/slice/job\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    return tmp_path / "fs"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_without_a_quota_the_affinity_counts(groups):
    assert usable_cores() == 64
    write(groups / "slice" / "job", cpu__max="max 100000\n")
    assert usable_cores() == 64


@pytest.mark.parametrize(("quota", "expected"), [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1)])
def test_a_quota_counts_rounded_up(groups, quota, expected):
    write(groups / "slice" / "job", cpu__max=quota)
    assert usable_cores() == expected


def test_the_quota_of_a_group_around_ours_counts_too(groups):
    write(groups / "slice" / "job", cpu__max="800000 100000")
    write(groups / "slice", cpu__max="300000 100000")
    assert usable_cores() == 3


def test_in_a_container_its_own_root_counts(groups):
    write(groups, cpu__max="400000 100000")
    assert usable_cores() == 4


def test_the_first_kind_of_control_groups_counts(groups, tmp_path):
    (tmp_path / "self").write_text("4:memory:/x\n3:cpu,cpuacct:/docker/abc\n")
    write(groups / "cpu,cpuacct" / "docker" / "abc", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    assert usable_cores() == 3
    write(groups / "cpu,cpuacct" / "docker" / "abc", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert usable_cores() == 64


@pytest.mark.parametrize("text", ["", "a b", "100000", "5 0"])
def test_a_quota_that_cannot_be_read_is_none(groups, text):
    write(groups / "slice" / "job", cpu__max=text)
    assert usable_cores() == 64


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_process_bound_to_one_core_has_one_and_so_do_the_options_of_a_depth_pass():
    one = sorted(os.sched_getaffinity(0))[0]
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "from auglift.pipeline.device.cores import usable_cores\n"
        "from auglift.pipeline.build import NetworkOptions\n"
        "print(usable_cores(), NetworkOptions().threads)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_a_large_machine_does_not_decode_with_a_thread_a_core(groups):
    assert decoder_threads(0) == decoder_threads(224) == 16
    assert [decoder_threads(count) for count in (1, 2, 16)] == [1, 2, 16]
    write(groups, cpu__max="200000 100000")
    assert decoder_threads(0) == 2
