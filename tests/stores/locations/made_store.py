"""A small store for buckets and web servers, and what a bucket holds."""

from __future__ import annotations

import hashlib

from auglift.stores.locations.base import Location

from ...fakes.stores import MadeStore

MADE = MadeStore(lengths=(7, 6), shard_frames=5, only=("keypoints", "valid", "uadd/paper"))


def digest_of(location: Location) -> dict[str, str]:
    return {key: hashlib.sha256(location.read(key)).hexdigest() for key in location.listing()}
