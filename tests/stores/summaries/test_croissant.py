"""stores/summaries/croissant.py: mlcroissant, MLCommons' own reader, takes it, and reads the table through it."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from auglift.stores.reading.store import FeatureStore
from auglift.stores.summaries.card import write_card
from auglift.stores.summaries.croissant import Publication
from auglift.stores.writing.families import remove_family
from auglift.stores.writing.verify import verify

from ...fakes.families import MadeFamily
from ...fakes.stores import make_store

GROUPS = {f"{group}/zarr.json" for group in ("uadd", "radius", "target")}
PUBLISHED = Publication("https://example.org/store", "https://example.org/terms", ("A. Nyone",), "2026-11-26")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a family, with its card."""
    path = tmp_path_factory.mktemp("croissant") / "s"
    make_store(path, warnings=("RANDOM WEIGHTS",))
    MadeFamily(name="base").run(path)
    write_card(FeatureStore.open(path), PUBLISHED)
    return path


@pytest.fixture(scope="module")
def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "croissant.json").read_text())


def test_mlcroissant_finds_no_error_and_misses_only_a_version(folder):
    mlcroissant = pytest.importorskip("mlcroissant")
    metadata = mlcroissant.Dataset(str(folder / "croissant.json")).metadata
    assert not metadata.ctx.issues.errors
    assert [line for line in metadata.ctx.issues.warnings if "schema.org/version" not in line] == []
    assert metadata.license[0] == PUBLISHED.licence
    assert str(metadata.date_published.date()) == PUBLISHED.date


def test_the_context_is_the_specifications_own(about):
    rdf = pytest.importorskip("mlcroissant._src.core.rdf")
    context = pytest.importorskip("mlcroissant._src.core.context")
    theirs = rdf.make_context(context.Context(conforms_to=context.CroissantVersion.V_1_1))
    assert {key: about["@context"].get(key) for key in theirs} == theirs


def test_mlcroissant_reads_the_table_of_sequences(folder):
    mlcroissant = pytest.importorskip("mlcroissant")
    rows = list(mlcroissant.Dataset(str(folder / "croissant.json")).records("sequences"))
    wanted = FeatureStore.open(folder).sequences.table.to_pylist()
    assert len(rows) == len(wanted)
    for row, sequence in zip(rows, wanted, strict=True):
        found = {key.removeprefix("sequences/"): value for key, value in row.items()}
        assert {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()} == sequence


def test_every_file_is_named_with_its_sha256_or_lies_in_a_file_set(folder, about):
    named = {entry["contentUrl"]: entry for entry in about["distribution"] if entry["@type"] == "cr:FileObject"}
    for key, entry in named.items():
        data = (folder / key).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["contentSize"] == f"{len(data)} B"
    patterns = [glob for entry in about["distribution"] for glob in entry.get("includes", [])]
    keys = set(contents(folder))
    matched = [set(fnmatch.filter(keys, pattern)) for pattern in patterns]
    assert all(matched)
    families = {key for key in keys if key.startswith("families/") and "/c/" not in key}
    assert keys - named.keys() - set().union(*matched) - families <= {"README.md", "croissant.json", *GROUPS}
    assert "families/base/SHA256SUMS" in named


def test_every_array_is_described_with_type_and_shape(folder, about):
    store = FeatureStore.open(folder)
    frames = next(entry for entry in about["recordSet"] if entry["@id"] == "frames")
    described = {field["name"]: field for field in frames["field"]}
    assert list(described) == list(store.fields)
    for name, field in described.items():
        array = store.array(name)
        assert field["dataType"].removeprefix("cr:").lower() == str(array.dtype)
        assert field.get("arrayShape", "") == ",".join(map(str, array.shape[1:]))


def test_the_lineage_is_in_it_in_order(about):
    names = [activity["name"] for activity in about["prov:wasGeneratedBy"]]
    assert names == ["auglift-prep", "auglift-prep extend"]
    made, extended = about["prov:wasGeneratedBy"]
    assert extended["prov:used"] == made["prov:generated"]
    assert made["prov:generated"] == [{"@id": f"urn:sha256:{about['identifier']}"}]


def test_what_nobody_said_is_left_out(tmp_path):
    store = make_store(tmp_path / "s")
    write_card(store)
    about = json.loads((tmp_path / "s/croissant.json").read_text())
    assert not {"url", "datePublished", "creator", "license", "rai:dataLimitations"} & about.keys()


def test_the_same_store_elsewhere_has_the_same_description(tmp_path):
    texts = []
    for place in ("a", "b"):
        store = make_store(tmp_path / place / "s")
        write_card(store)
        texts.append((tmp_path / place / "s/croissant.json").read_bytes())
        assert verify(store.location, deep=True) == []
    assert texts[0] == texts[1]
    assert str(tmp_path).encode() not in texts[0]


def test_a_card_is_no_byte_of_the_store_that_fields_come_and_go_in(tmp_path):
    store = make_store(tmp_path / "s")
    write_card(store)
    before = contents(tmp_path / "s")
    MadeFamily(name="base").run(tmp_path / "s")
    assert contents(tmp_path / "s") != before
    remove_family(store.location, "base")
    assert contents(tmp_path / "s") == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
