"""pipeline/networks/weights/fetch.py: what is fetched is checked and kept, or leaves nothing behind."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auglift.pipeline.networks import models
from auglift.pipeline.networks.weights import load as weights
from auglift.stores.errors import InvalidValueError, MissingFileError, StoreWriteError


@pytest.fixture
def published(tmp_path) -> tuple[models.ModelSpec, bytes, dict]:
    """A model whose checkpoint's name carries the digest of its bytes, as OpenMMLab publishes them."""
    state = {"x": torch.arange(6.0)}
    path = tmp_path / "checkpoint.pth"
    torch.save({"meta": {}, "state_dict": state}, path)
    content = path.read_bytes()
    path.unlink()
    digest = hashlib.sha256(content).hexdigest()[:8]
    spec = models.ModelSpec(
        name="toy", kind="pose", config=None, origin=f"https://example.invalid/toy-{digest}_20230504.pth",
        sha256=digest, licence="Apache-2.0", megabytes=1, input_size=(1, 1),
    )  # fmt: skip
    return spec, content, state


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it; files called `*.cut` break off after half their length."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if not (folder / (self.path[1:] + ".cut")).exists():
                return super().do_GET()
            content = (folder / (self.path[1:] + ".cut")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_weights_are_fetched_checked_and_kept(server, published, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    spec, content, state = published
    folder, address = server
    spec = replace(spec, origin=f"{address}/{spec.file}")
    (folder / spec.file).write_bytes(content)
    loaded, _ = weights.load_state(spec)
    assert loaded is not None
    assert torch.equal(loaded["x"], state["x"])
    kept = weights.torch_cache() / spec.file
    assert kept.read_bytes() == content
    assert list(kept.parent.iterdir()) == [kept]
    (folder / spec.file).unlink()
    assert weights.load_state(spec)[0] is not None  # not requested again


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda folder, file, content: None, MissingFileError, "HTTP Error 404"),
        (
            lambda folder, file, content: (folder / file).write_bytes(content + b"?"),
            InvalidValueError,
            r"serves is not the published file: its SHA-256 begins .* use it all the same, .* in a folder as toy\.pth",
        ),
        (lambda folder, file, content: (folder / f"{file}.cut").write_bytes(content), MissingFileError, "broke off"),
    ],
    ids=["not there", "another file", "broken off"],
)
def test_a_fetch_that_goes_wrong_leaves_nothing_behind(server, published, tmp_path, monkeypatch, change, error, reason):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    spec, content, _ = published
    folder, address = server
    spec = replace(spec, origin=f"{address}/{spec.file}")
    change(folder, spec.file, content)
    with pytest.raises(error, match=reason):
        weights.load_state(spec)
    assert [path for path in (tmp_path / "torch").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_is_not_called_a_missing_network(server, published, tmp_path, monkeypatch):
    (tmp_path / "torch").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    spec, content, _ = published
    folder, address = server
    (folder / spec.file).write_bytes(content)
    with pytest.raises(StoreWriteError, match=r"cannot keep toy-.* Not a directory"):
        weights.load_state(replace(spec, origin=f"{address}/{spec.file}"))
