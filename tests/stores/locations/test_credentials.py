"""remote.py: no bucket, no credentials, no extra: each is one line that says what to set."""

from __future__ import annotations

import builtins

import pytest

from auglift.stores.errors import (
    InvalidValueError,
    MissingExtraError,
    MissingFileError,
    StoreReadError,
    StoreWriteError,
)
from auglift.stores.locations.choose import locate
from auglift.stores.locations.remote import BucketLocation
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.verify import verify

from .made_store import MADE

pytestmark = pytest.mark.usefixtures("environment")


def test_no_store_in_a_bucket_is_a_missing_file(url):
    with pytest.raises(MissingFileError, match="there is no store at s3://"):
        FeatureStore.open(url)


def test_a_bucket_that_is_not_there_is_named(monkeypatch):
    for action in (FeatureStore.open, verify, MADE.run):
        with pytest.raises((StoreReadError, StoreWriteError), match=r"there is no bucket 'nowhere'; check its name"):
            action("s3://nowhere/s.zarr")


def test_no_credentials_is_said_with_what_to_set(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # The machine's role would be tried next: no server is there.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9/169.254.169.254")
    with pytest.raises(StoreReadError, match=r"no credentials were found; set AWS_ACCESS_KEY_ID .*AWS_SKIP_SIGNATURE"):
        FeatureStore.open("s3://bucket/s.zarr")


def test_denied_access_is_another_error_than_a_lost_connection(location, monkeypatch):
    location.write("zarr.json", b"{}")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with pytest.raises(StoreReadError, match=r"access is denied.*check the credentials"):
        FeatureStore.open(location.url)


@pytest.mark.parametrize("profile", ["default", "lab"])
def test_keys_in_the_files_of_awss_own_tools_are_used(location, monkeypatch, tmp_path, profile):
    location.write("key", b"1")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[{profile}]\naws_access_key_id = test\naws_secret_access_key = test\n[other]\naws_access_key_id = x\n"
    )
    section = profile if profile == "default" else f"profile {profile}"
    (tmp_path / ".aws" / "config").write_text(f"[{section}]\nregion = eu-central-1\noutput = json\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    if profile != "default":
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert locate(location.url).read("key") == b"1"


def test_a_broken_credentials_file_is_an_error_of_ours(monkeypatch, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("no section\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(InvalidValueError, match="AWS configuration"):
        locate("s3://bucket/s.zarr")


def test_an_unencrypted_server_elsewhere_needs_a_word(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example:9000")
    with pytest.raises(InvalidValueError, match="set AWS_ALLOW_HTTP=true"):
        locate("s3://bucket/s.zarr")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert isinstance(locate("s3://bucket/s.zarr"), BucketLocation)


@pytest.mark.parametrize("text", ["s3://", "s3:///folder", "gs://"])
def test_a_url_without_a_bucket_is_refused(text):
    with pytest.raises(InvalidValueError, match="names no bucket"):
        locate(text)


def test_without_the_extra_the_error_says_which(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'auglift\[remote\]'"):
        locate("s3://bucket/s.zarr")
