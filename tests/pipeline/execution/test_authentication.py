"""authentication.py: a cluster with tokens and one without are both joined, whatever token lies in the home."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import pytest

from auglift.pipeline.execution import authentication
from auglift.stores.errors import InvalidValueError

grpc = pytest.importorskip("grpc")
ROOT = Path(__file__).resolve().parents[3]
UNKNOWN, FREE, CLOSED = None, False, True


@contextmanager
def head_node(needs: bool | None) -> Iterator[str]:
    """host:port of a server that treats a request without a token as Ray's head node does; None: it has no method."""

    def refuse(request, context):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details):
            return None if needs is None else grpc.unary_unary_rpc_method_handler(refuse if needs else lambda *_: b"")

    server = grpc.server(futures.ThreadPoolExecutor(1), [Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def home(monkeypatch, tmp_path):
    """An empty home, and no settings of Ray's authentication; what a test sets is taken back."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(authentication, "refresh", lambda: None)  # another test's Ray may run in this process
    return tmp_path


def keep_token(home: Path) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("7" * 64)


@pytest.mark.parametrize("needs", [UNKNOWN, FREE, CLOSED])
def test_a_head_node_shows_whether_it_needs_a_token(home, needs):
    with head_node(needs) as address:
        assert authentication.needs_token(address) is needs


def test_a_running_ray_shows_whether_it_needs_a_token(cluster):
    address = cluster.ray.get_runtime_context().gcs_address
    assert authentication.needs_token(address) is (os.environ["RAY_AUTH_MODE"] == "token")


@pytest.mark.parametrize(("needs", "mode"), [(FREE, "disabled"), (CLOSED, "token"), (UNKNOWN, "token")])
def test_with_a_token_at_hand_the_mode_is_that_of_the_cluster(home, needs, mode):
    keep_token(home)
    with head_node(needs) as address:
        authentication.prepare_to_join(address)
    assert os.environ["RAY_AUTH_MODE"] == mode


@pytest.mark.parametrize("needs", [FREE, UNKNOWN])
def test_without_a_token_none_is_shown(home, needs):
    with head_node(needs) as address:
        authentication.prepare_to_join(address)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_token_that_is_missing_is_named(home):
    with head_node(CLOSED) as address, pytest.raises(InvalidValueError, match=f"{address} needs a token.*RAY_AUTH_TOK"):
        authentication.prepare_to_join(address)


@pytest.mark.parametrize(
    ("needs", "mode", "said"), [(FREE, "token", "uses no tokens"), (CLOSED, "disabled", "needs a token")]
)
def test_a_mode_that_does_not_fit_the_cluster_is_named(home, monkeypatch, needs, mode, said):
    keep_token(home)
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with head_node(needs) as address, pytest.raises(InvalidValueError, match=f"{said}, but RAY_AUTH_MODE is '{mode}'"):
        authentication.prepare_to_join(address)


def test_the_environment_is_afterwards_what_it_was(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "7" * 64)
    before = authentication.environment()
    with head_node(CLOSED) as address:
        authentication.prepare_to_join(address)
    authentication.restore(before)
    assert "RAY_AUTH_MODE" not in os.environ
    assert os.environ["RAY_AUTH_TOKEN"] == "7" * 64


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_workers_start_on_a_cluster_of_either_kind_from_a_home_with_a_token(home, tmp_path, mode):
    keep_token(home)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = f"start --head --block --port {port} --num-cpus 2 --include-dashboard false".split()
    short = tempfile.mkdtemp(prefix="ray")  # Ray's sockets lie there, whose paths may have 107 bytes
    place = ["--object-store-memory", str(80 << 20), "--temp-dir", short]
    ray = [sys.executable, "-m", "ray.scripts.scripts", *start, *place]
    job = [sys.executable, "-m", "tests.fakes.made_job", f"127.0.0.1:{port}", tmp_path / "out.zarr", tmp_path, "3", "0"]
    head = subprocess.Popen(ray, env={**os.environ, "RAY_AUTH_MODE": mode}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(30):
            done = subprocess.run(job, cwd=ROOT, capture_output=True, text=True, check=False)
            if "no Ray cluster responds" not in done.stderr:
                break
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out.zarr" / "ledger").glob("*.json"))) == 3
    finally:
        head.terminate()
        head.wait(60)
        shutil.rmtree(short, ignore_errors=True)
