"""address.py: an address without a cluster is an error at once, also where Ray would wait for minutes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from auglift.pipeline.execution import address as address_module
from auglift.pipeline.execution.address import reachable
from auglift.stores.errors import InvalidValueError

services = pytest.importorskip("ray._private.services")

HTTP2_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def server(response: bytes | None) -> Iterator[str]:
    """host:port of something that listens: sends `response` to every client, or keeps silent."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        held = []

        def serve() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return
                if response is not None:
                    held[-1].sendall(response)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def unused() -> str:
    """host:port where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """This machine as Ray sees it: the cluster that its file remembers, and those that run."""

    def set_up(remembered: str | None, running: tuple[str, ...] = ()) -> None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        monkeypatch.setattr(services, "find_gcs_addresses", lambda: frozenset(running))
        if remembered is not None:
            (tmp_path / "ray").mkdir()
            (tmp_path / "ray" / "ray_current_cluster").write_text(remembered)

    return set_up


def test_auto_with_the_file_of_a_cluster_that_ended_is_an_error_at_once(machine):
    stale = unused()
    machine(stale)
    with pytest.raises(InvalidValueError, match=f"--address auto.*{stale}.*ray start --head"):
        reachable("auto")


def test_auto_without_any_cluster_says_so(machine):
    machine(None)
    with pytest.raises(InvalidValueError, match="no Ray cluster was started on this machine"):
        reachable("auto")


def test_auto_is_the_cluster_that_ray_remembers_where_it_responds(machine):
    with server(HTTP2_SETTINGS) as there:
        machine(there)
        assert reachable("auto") == there


def test_auto_passes_over_a_cluster_that_ended_for_one_that_runs(machine):
    with server(HTTP2_SETTINGS) as there:
        machine(unused(), running=(there, unused()))
        assert reachable("auto") == there


@pytest.mark.timeout(60)  # Ray itself waits for two minutes and more
@pytest.mark.parametrize("response", [b"SSH-2.0-OpenSSH_9.2\r\n", None])
@pytest.mark.parametrize("by_file", [True, False])
def test_a_port_that_something_else_has_is_no_cluster(machine, monkeypatch, response, by_file):
    monkeypatch.setattr(address_module, "CONNECT_SECONDS", 0.2)
    with server(response) as there:
        machine(there)
        with pytest.raises(InvalidValueError, match=there):
            reachable("auto" if by_file else there)


def test_a_cluster_that_runs_is_found(cluster):
    there = cluster.ray.get_runtime_context().gcs_address
    assert reachable(there) == there
