"""Under which licences and terms a store's contents come: the networks' weights, and the data set's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .build import is_own
from .datasets.table import ARCHIVES
from .networks.models import MODELS

KINDS = ("detector", "pose", "depth")


def stated(settings: Mapping[str, Any], datasets: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """What a store says of them in its attributes: `licences` by network, `terms` by data set, as far as known.

    Weights of one's own and random ones have no entry, nor have videos of one's own: nobody here knows their terms.
    """
    networks = [settings[kind] for kind in KINDS if kind in settings]
    licences = {each["name"]: MODELS[each["name"]].licence for each in networks if _has_published_weights(each)}
    terms = {name: known for name in datasets if (known := _terms(name))}
    return {key: found for key, found in (("licences", licences), ("terms", terms)) if found}


def _has_published_weights(network: Mapping[str, Any]) -> bool:
    is_loaded = str(network.get("weights", "")).startswith("sha256:")  # not random, not a stand-in
    return network["name"] in MODELS and is_loaded and not is_own(network)


def _terms(dataset: str) -> str:
    if dataset in ARCHIVES:
        archive = ARCHIVES[dataset]
        return f"{archive.title}: {archive.terms} ({archive.apply})"
    return "rendered by auglift (Apache-2.0)" if dataset.startswith("synth-") else ""
