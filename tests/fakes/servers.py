"""Servers on loopback: a real S3 API (moto's), a stand-in for Google's, a web server, a proxy that cuts."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

BUCKET = "bucket"


@contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a fresh S3 server that holds one empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket=BUCKET)
        yield url
    finally:
        server.stop()


class CuttingProxy:
    """Forwards connections to a server and cuts some.

    allowed   connection number (from 1) -> bytes that may pass (to the server, back from it); None for all
    """

    def __init__(self, url: str, allowed: Callable[[int], tuple[int | None, int | None]]):
        host, _, port = url.removeprefix("http://").partition(":")
        self.target = (host, int(port))
        self.allowed = allowed
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client, self.connections), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        server = socket.create_connection(self.target)
        there, back = self.allowed(number)
        threading.Thread(target=self._pump, args=(client, server, there), daemon=True).start()
        self._pump(server, client, back)

    def _pump(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if left is not None and len(data) >= left:
                    sink.sendall(data[:left])
                    break
                left = None if left is None else left - len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.close()


class _RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Files with byte ranges, as every real web server serves them and Python's own does not."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start, stop = 0, len(data)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = wanted.groups()
            start = int(first) if first else max(0, len(data) - int(last))
            stop = min(int(last) + 1, len(data)) if first and last else len(data)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if with_body:
            self.wfile.write(data[start:stop])

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The URL of a web server for a folder."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_RangeHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _ObjectHandler(http.server.BaseHTTPRequestHandler):
    """As much of Google Cloud Storage's XML API as a store needs: put (once, if wanted), get, head, delete, list."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    lock: threading.Lock

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            if self.headers.get("x-goog-if-generation-match") == "0" and self.path in self.objects:
                self._answer(412)
                return
            self.objects[self.path] = data
        self._answer(200, etag=data)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if query:
            self._list(path, {key: values[0] for key, values in parse_qs(query).items()})
            return
        data = self.objects.get(path)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            self._answer(200, data, etag=data)
            return
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        self._answer(206, data[start:stop], etag=data, extra={"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        self._answer(204 if self.objects.pop(self.path, None) is not None else 404)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        with self.lock:
            names = {unquote(path.removeprefix(f"{bucket}/")): len(data) for path, data in self.objects.items()}
        prefix, entries, folders = query.get("prefix", ""), "", set()
        for name, size in sorted(names.items()):
            if not name.startswith(prefix):
                continue
            below = name[len(prefix) :]
            if "delimiter" in query and "/" in below:
                folders.add(prefix + below.split("/")[0] + "/")
            else:
                entries += (
                    f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                    f"<ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"
                )
        entries += "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders))
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())

    def _answer(self, status: int, body: bytes = b"", etag: bytes | None = None, extra: dict[str, str] | None = None):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if etag is not None:
            self.send_header("ETag", f'"{hashlib.md5(etag).hexdigest()}"')
            self.send_header("x-goog-generation", "1")
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def gs_server() -> Iterator[str]:
    """The URL of a stand-in for Google Cloud Storage that accepts everybody."""
    handler = type("Handler", (_ObjectHandler,), {"objects": {}, "lock": threading.Lock()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
