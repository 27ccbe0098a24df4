"""What the group of a store, or of a family, says of itself."""

from __future__ import annotations

import json
from typing import Any

from .errors import CorruptStoreError, InvalidValueError, MissingFileError
from .format.layout import GROUP
from .format.schema import FORMAT, FORMAT_VERSION
from .locations.base import Location


def read_attributes(location: Location) -> dict[str, Any]:
    """What a store's group says of itself, whatever its status.

    Raises MissingFileError where there is no store, InvalidValueError where it is something else or of a newer format,
    CorruptStoreError where it says nothing that makes sense.
    """
    try:
        attributes = json.loads(location.read(GROUP))["attributes"]
        known = attributes.get("format") == FORMAT
    except MissingFileError as error:
        raise MissingFileError(f"there is no store at {location.url}: it has no {GROUP}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptStoreError(f"{GROUP} of {location.url} cannot be read ({error})") from error
    if not known:
        raise InvalidValueError(f"{location.url} is a Zarr group, but not one that auglift-prep wrote")
    version = attributes.get("format_version")
    if not isinstance(version, int):
        raise CorruptStoreError(f"{GROUP} of {location.url} has no format version")
    if version > FORMAT_VERSION:
        raise InvalidValueError(
            f"{location.url} has format version {version}, this auglift reads up to {FORMAT_VERSION}; upgrade auglift"
        )
    kinds = {"status": str, "fingerprint": str, "configuration": dict, "fields": list, "shard_frames": int}
    wrong = [name for name, kind in kinds.items() if not isinstance(attributes.get(name), kind)]
    if wrong:
        raise CorruptStoreError(f"{GROUP} of {location.url} lacks {', '.join(wrong)}; run auglift-prep again")
    return attributes
