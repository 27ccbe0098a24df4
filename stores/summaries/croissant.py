"""The dataset card for machines: Croissant 1.1 (MLCommons), JSON-LD that says which files hold which fields.

The specification wants a URL, a date, a creator and a licence, which only who publishes a store knows: they are given,
or left out. Croissant has no word for Zarr; so the arrays are described (type, shape, files) but read by Zarr itself,
and the table of sequences by any Croissant reader.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..families import published
from ..format.families import array_path, folder_of
from ..format.layout import CHECKSUMS, GROUP, LEDGER, PLAN, SEQUENCES, STATISTICS
from ..format.schema import Field
from ..format.sequences import ARROW_SCHEMA
from ..locations.checksums import read_checksums
from ..reading.store import FeatureStore

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
PAPER = "@misc{auglift, title={AugLift}, archivePrefix={arXiv}, eprint={2508.07112}}"

_WORDS = """arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format
includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace
samplingRate separator source subField transform"""

# The specification's own, word for word, and PROV-O for the lineage.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    **{word: f"cr:{word}" for word in _WORDS.split()},
}

_MEDIA_TYPES = {SEQUENCES: "application/x-parquet", CHECKSUMS: "text/plain"}
_JSON, _ZARR = "application/json", "application/vnd.zarr; version=3"
_MEANINGS = {
    GROUP: "the Zarr group: its attributes and the metadata of all arrays",
    PLAN: "the configuration, its fingerprint, and what each shard is made of",
    SEQUENCES: "a row a sequence: what was filmed, and where it begins on the frame axis",
    STATISTICS: "ranges of every field, joint by joint",
    CHECKSUMS: "sha256 of every file but the shards, whose sha256 are in the ledger",
}
_COLUMN_TYPES = {"string": "sc:Text", "int64": "cr:Int64", "double": "cr:Float64"}
_ARRAY_TYPES = {
    f"{kind.lower()}{bits}": f"cr:{kind}{bits}" for kind in ("Int", "UInt", "Float") for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True)
class Publication:
    """What only who publishes a store can say of it.

    url       where it is found, or a page about it
    licence   a name of SPDX or a URL, of the store as a whole
    creators  names of persons
    date      YYYY-MM-DD
    """

    url: str = ""
    licence: str = ""
    creators: tuple[str, ...] = ()
    date: str = ""

    @property
    def missing(self) -> list[str]:
        """What the specification wants and was not given, as the command's options call it."""
        given = {"--url": self.url, "--licence": self.licence, "--creator": self.creators, "--date": self.date}
        return [option for option, value in given.items() if not value]


def croissant(
    store: FeatureStore,
    name: str,
    description: str,
    lineage: Iterable[Mapping[str, Any]],
    publication: Publication | None = None,
) -> bytes:
    """The description of a finished store, as UTF-8 JSON: a function of the store and of what is given."""
    publication = publication or Publication()
    has_depth = any(field.startswith("uadd/") for field in store.fields)
    about = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": description,
        "identifier": store.fingerprint,
        "url": publication.url,
        "datePublished": publication.date,
        "creator": [{"@type": "sc:Person", "name": creator} for creator in publication.creators],
        "license": _licences(store, publication),
        "citeAs": PAPER if has_depth else "",
        "keywords": ["human pose estimation", "2D-to-3D lifting", "monocular depth", "zarr", "auglift"],
        "isLiveDataset": False,
        "rai:dataLimitations": list(store.attributes.get("warnings", [])),
        "prov:wasGeneratedBy": [_activity(number, entry) for number, entry in enumerate(lineage, 1)],
        "distribution": [*_files(store), *_file_sets(store)],
        "recordSet": [_table(), _frames(store)],
    }
    known = {key: value for key, value in about.items() if value not in ("", [])}
    return (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode()


def _licences(store: FeatureStore, publication: Publication) -> list[Any]:
    """Of the store, where its publisher said it; then of the data and of the networks' weights."""
    stated = all_stated(store)
    spdx = "https://spdx.org/licenses/"
    return [
        *([publication.licence] if publication.licence else []),
        *({"@type": "sc:CreativeWork", "name": f"terms of the data: {terms}"} for terms in stated["terms"].values()),
        *(
            {"@type": "sc:CreativeWork", "name": f"licence of the weights of {model}: {name}", "url": f"{spdx}{name}"}
            for model, name in stated["licences"].items()
        ),
    ]


def all_stated(store: FeatureStore) -> dict[str, dict[str, str]]:
    """`licences` by network and `terms` by data set, of the store and of its complete families, as far as known."""
    groups = [store.attributes, *(family.attributes for family in store.families.values())]
    return {key: {k: v for group in groups for k, v in group.get(key, {}).items()} for key in ("licences", "terms")}


def _activity(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A command of the lineage in the words of PROV-O. `made` and `of` are fingerprints."""
    return {
        "@type": "prov:Activity",
        "@id": f"command/{number}",
        "name": entry["command"],
        "prov:used": [{"@id": f"urn:sha256:{made}"} for made in entry["of"]],
        "prov:generated": [{"@id": f"urn:sha256:{entry['made']}"}],
        "additionalProperty": [
            {"@type": "sc:PropertyValue", "propertyID": option, "value": json.dumps(value) if _nested(value) else value}
            for option, value in entry["options"].items()
        ],
        "prov:wasAssociatedWith": [
            {"@type": "prov:SoftwareAgent", "@id": f"software/{library}/{version}", "softwareVersion": version}
            for library, version in entry["versions"].items()
        ],
    }


def _nested(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _files(store: FeatureStore) -> list[dict[str, Any]]:
    expected = read_checksums(store.location)
    keys = (GROUP, PLAN, SEQUENCES, STATISTICS, *(() if expected is None else (CHECKSUMS,)))
    found = [_file(store, key, (expected or {}).get(key), _MEANINGS[key]) for key in keys]
    digests = published(store.location)
    for family in store.families:
        meaning = f"sha256 of every file of the fields '{family}' but the shards"
        found.append(_file(store, f"{folder_of(family)}/{CHECKSUMS}", digests.get(family), meaning))
    return found


def _file(store: FeatureStore, key: str, digest: str | None, meaning: str) -> dict[str, Any]:
    data = store.location.read(key)
    return {
        "@type": "cr:FileObject",
        "@id": key,
        "name": key,
        "description": meaning,
        "contentUrl": key,
        "contentSize": f"{len(data)} B",
        "encodingFormat": _MEDIA_TYPES.get(key.rpartition("/")[2], _JSON),
        "sha256": digest or hashlib.sha256(data).hexdigest(),
    }


def _file_sets(store: FeatureStore) -> list[dict[str, Any]]:
    arrays = [glob for name in store.fields for glob in _files_of(array_path(name))]
    return [
        _file_set("ledger", "what each shard holds: sha256 and bytes of its files", _JSON, [f"{LEDGER}*.json"]),
        _file_set("arrays", "the Zarr arrays: their metadata, and shards along the frame axis", _ZARR, arrays),
    ]


def _files_of(path: str) -> list[str]:
    return [f"{path}/zarr.json", f"{path}/c/**"]


def _file_set(name: str, meaning: str, kind: str, includes: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": meaning,
        "encodingFormat": kind,
        "includes": includes,
    }


def _table() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "sequences",
        "name": "sequences",
        "description": "The sequences, in the order of the frame axis.",
        "key": {"@id": "sequences/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"sequences/{column.name}",
                "name": column.name,
                "dataType": _COLUMN_TYPES[str(column.type)],
                "source": {"fileObject": {"@id": SEQUENCES}, "extract": {"column": column.name}},
            }
            for column in ARROW_SCHEMA
        ],
    }


def _frames(store: FeatureStore) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "frames",
        "name": "frames",
        "description": f"{store.frames} frames: all sequences one after another. Row n of every array is of frame n.",
        "field": [_array(name, spec) for name, spec in store.fields.items()],
    }


def _array(name: str, spec: Field) -> dict[str, Any]:
    values = f"; values: {', '.join(spec.components)}" if spec.components else ""
    shape = {"isArray": True, "arrayShape": ",".join(map(str, spec.shape))} if spec.shape else {}
    return {
        "@type": "cr:Field",
        "@id": f"frames/{name}",
        "name": name,
        "description": f"{spec.meaning}; unit: {spec.unit}{values}",
        "dataType": _ARRAY_TYPES[spec.dtype],
        **shape,
        # In Croissant's words an array is a column of the group; it has no other for a part of a set of files.
        "source": {"fileSet": {"@id": "arrays"}, "extract": {"column": array_path(name)}},
    }
