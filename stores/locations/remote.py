"""Stores behind URLs: s3:// and gs:// to read and write, https:// to read. Every write is one put.

Credentials come the usual way: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE and ~/.aws/credentials, or the
machine's role; AWS_ENDPOINT_URL for other S3 servers; GOOGLE_APPLICATION_CREDENTIALS. A request that fails, or a
connection that drops in the middle of an answer, is tried again; when that does not help, the error says so.
"""

from __future__ import annotations

import configparser
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import zarr.abc.store
import zarr.storage

from ..errors import (
    AugliftError,
    InvalidValueError,
    MissingExtraError,
    MissingFileError,
    StoreReadError,
    StoreWriteError,
)
from ..format.layout import CHECKSUMS, LEDGER
from ..format.record import ShardRecord
from ..format.schema import FIELDS
from .base import Location, StrictReads
from .checksums import read_checksums

SCHEMES = ("s3", "gs", "https", "http")
THREADS = 16

RETRY: dict[str, Any] = {
    "max_retries": 5,
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=10), "base": 2},
    "retry_timeout": timedelta(seconds=120),
}
# A shard of learned features is hundreds of megabytes in one put: only silence ends a request early.
CLIENT: dict[str, Any] = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "1800s"}


def open_remote(url: str) -> Location:
    """The location behind a URL. MissingExtraError without obstore; InvalidValueError for a URL that cannot be one."""
    return (WebLocation if urlsplit(url).scheme in ("http", "https") else BucketLocation)(url)


class BucketLocation(Location):
    """Keys below a prefix of a bucket, s3:// or gs://."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self._obstore = _obstore()
        self._store = self._connect()

    def __reduce__(self):
        return type(self), (self.url,)

    def _connect(self) -> Any:
        parts = urlsplit(self.url)
        if not parts.netloc:
            raise InvalidValueError(f"'{self.url}' names no bucket; write {parts.scheme}://bucket/folder/store.zarr")
        try:
            if parts.scheme == "gs":
                return self._obstore.store.GCSStore.from_url(self.url, client_options=CLIENT, retry_config=RETRY)
            options = CLIENT | {"allow_http": _may_speak_http()}
            return self._obstore.store.S3Store.from_url(
                self.url, config=_aws_profile(), client_options=options, retry_config=RETRY
            )
        except self._obstore.exceptions.BaseError as error:
            raise InvalidValueError(f"cannot open '{self.url}': {_first_line(error)}") from error

    def read(self, key: str) -> bytes:
        try:
            return bytes(self._obstore.get(self._store, key).bytes())
        except Exception as error:
            raise self._reading(key, error) from error

    def write(self, key: str, data: bytes) -> None:
        try:
            self._obstore.put(self._store, key, data, use_multipart=False)
        except Exception as error:
            raise self._writing(key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        try:
            self._obstore.put(self._store, key, data, use_multipart=False, mode="create")
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        except Exception as error:
            raise self._writing(key, error) from error
        return True

    def size(self, key: str) -> int | None:
        try:
            return self._obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._reading(key, error) from error

    def sizes(self, prefix: str = "") -> dict[str, int]:
        try:
            found = self._obstore.list(self._store, prefix.rstrip("/") or None).collect()
        except Exception as error:
            raise self._reading(prefix, error) from error
        return {item["path"]: item["size"] for item in sorted(found, key=lambda item: item["path"])}

    def top(self) -> list[str]:
        try:
            found = self._obstore.list_with_delimiter(self._store)
        except Exception as error:
            raise self._reading("", error) from error
        return sorted([*found["common_prefixes"], *(item["path"] for item in found["objects"])])

    def delete(self, key: str) -> None:
        try:
            self._obstore.delete(self._store, key)
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._writing(key, error) from error

    def below(self, folder: str) -> BucketLocation:
        return type(self)(f"{self.url}/{folder}")

    def zarr_store(self, read_only: bool = True) -> zarr.abc.store.Store:
        store = _ZarrStore(self._store, read_only=read_only)
        store.location = self
        return store

    def _reading(self, key: str, error: Exception) -> AugliftError:
        if isinstance(error, AugliftError):
            return error
        if isinstance(error, FileNotFoundError) and not _no_bucket(error):
            return MissingFileError(f"{self.url}/{key} is missing")
        return StoreReadError(f"{self.url}/{key} cannot be read: {_explain(self.url, error)}")

    def _writing(self, key: str, error: Exception) -> AugliftError:
        return StoreWriteError(f"{self.url}/{key} cannot be written: {_explain(self.url, error)}")


class WebLocation(BucketLocation):
    """A finished store on a web server that answers range requests. To read only, and it cannot list."""

    lists = False

    def _connect(self) -> Any:
        options = CLIENT | {"allow_http": True}
        return self._obstore.store.HTTPStore.from_url(self.url, client_options=options, retry_config=RETRY)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The files that SHA256SUMS and the ledger of a finished store name, as far as they are there; no strays."""
        listed = read_checksums(self)
        if listed is None:
            raise StoreReadError(
                f"{self.url} has no {CHECKSUMS}, and a web server cannot list: only finished stores are read from there"
            )
        records = [key for key in listed if key.startswith(LEDGER)]
        with ThreadPoolExecutor(THREADS) as pool:
            keys = {CHECKSUMS, *listed}
            if not prefix.startswith(LEDGER):
                keys = keys.union(*pool.map(self._arrays_of, records))
            wanted = sorted(key for key in keys if key.startswith(prefix))
            sizes = dict(zip(wanted, pool.map(self.size, wanted), strict=True))
        return {key: size for key, size in sizes.items() if size is not None}

    def _arrays_of(self, record_key: str) -> list[str]:
        try:
            record = ShardRecord.from_json(self.read(record_key), record_key)
        except AugliftError:
            return []  # verify finds the record itself
        below = {name: "/0" * len(FIELDS[name].shape) for name in record.arrays if name in FIELDS}
        return [f"{name}/c/{record.shard}{zeros}" for name, zeros in below.items()]

    def top(self) -> list[str]:
        return sorted({key.split("/")[0] for key in self.sizes()})

    def write(self, key: str, data: bytes) -> None:
        raise StoreWriteError(f"{self.url} is a web server and can only be read; write to a folder, s3:// or gs://")

    def create(self, key: str, data: bytes) -> bool:
        self.write(key, data)
        return False

    def delete(self, key: str) -> None:
        self.write(key, b"")


class _ZarrStore(StrictReads, zarr.storage.ObjectStore):
    """As Zarr sees it; a connection that fails is our error, and what is missing is never NaN."""

    location: BucketLocation

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        try:
            return await super().get(key, prototype, byte_range)
        except Exception as error:
            raise self.location._reading(key, error) from error

    def with_read_only(self, read_only: bool = False) -> _ZarrStore:
        return self.location.zarr_store(read_only)  # type: ignore[return-value]


def _obstore() -> Any:
    try:
        import obstore
        import obstore.store
    except ImportError as error:
        raise MissingExtraError("stores behind URLs need obstore; pip install 'auglift[remote]'") from error
    return obstore


def _may_speak_http() -> bool:
    """Whether the S3 server may be reached unencrypted: here always, elsewhere where AWS_ALLOW_HTTP is set."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not endpoint.startswith("http://"):
        return False
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    if not allowed and urlsplit(endpoint).hostname not in ("localhost", "127.0.0.1", "::1"):
        raise InvalidValueError(
            f"the S3 server {endpoint} is not encrypted; set AWS_ALLOW_HTTP=true if that is all right"
        )
    return True


def _aws_profile() -> dict[str, str]:
    """Keys and region of AWS_PROFILE in the files that AWS's own tools keep, where the environment has no keys."""
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_SKIP_SIGNATURE"):
        return {}
    name = os.environ.get("AWS_PROFILE", "default")
    files = configparser.ConfigParser()
    folder = Path.home() / ".aws"
    try:
        files.read(os.environ.get("AWS_CONFIG_FILE", folder / "config"))
        if name != "default" and files.has_section(f"profile {name}"):
            files.read_dict({name: dict(files[f"profile {name}"])})
        files.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", folder / "credentials"))
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"the AWS configuration in {folder} cannot be read: {_first_line(error)}") from error
    wanted = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region")
    found = {key: files[name][key] for key in wanted if files.has_section(name) and files[name].get(key)}
    if os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        found.pop("region", None)
    return found if "aws_access_key_id" in found else {k: v for k, v in found.items() if k == "region"}


def _no_bucket(error: Exception) -> bool:
    return "NoSuchBucket" in str(error) or "specified bucket does not exist" in str(error)


def _explain(url: str, error: Exception) -> str:
    """What went wrong and what to do, in one line, of an object store's page-long error."""
    text = str(error)
    if _no_bucket(error):
        return f"there is no bucket '{urlsplit(url).netloc}'; check its name, or create it"
    kind = type(error).__name__
    if "169.254.169.254" in text or "token request" in text or "redential" in text.split("Debug source")[0]:
        how = {
            "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true where it is "
            "public",
            "gs": "GOOGLE_APPLICATION_CREDENTIALS",
        }.get(urlsplit(url).scheme, "credentials")
        return f"no credentials were found; set {how}"
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or isinstance(error, PermissionError):
        code = re.search(r"<Code>(\w+)</Code>", text)
        return f"access is denied{f' ({code[1]})' if code else ''}; check the credentials and their rights"
    if "does not support" in text or kind == "NotSupportedError" or isinstance(error, NotImplementedError):
        return f"the server cannot do what is needed ({_first_line(error)})"
    detail = re.search(r'message: "([^"]+)"', text) or re.search(r"<Message>([^<]+)</Message>", text)
    tries = re.search(r"after (\d+) retries", text)
    reason = detail[1] if detail else _first_line(error).rpartition(" - ")[2]
    again = f", tried {int(tries[1]) + 1} times" if tries else ""
    return f"{reason}{again}; check the connection and run the same command again, what is finished is kept"


def _first_line(error: Exception) -> str:
    lines = str(error).split("<?xml")[0].strip().splitlines()
    return lines[0] if lines else type(error).__name__
