"""What the numbers of a depth network mean: metres, or the inverse of a distance without a unit.

The model's configuration decides: what it says itself (`depth_estimation_type`), else what its family was trained for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ....stores.errors import InvalidValueError


@dataclass(frozen=True)
class Meaning:
    """kind  metric: metres along the optical axis. inverse: larger where things are nearer, known but for a positive
    factor and a constant; it is stored with its sign turned, so that larger is farther, in the unit `relative`
    """

    kind: Literal["metric", "inverse"]

    @property
    def is_metric(self) -> bool:
        return self.kind == "metric"

    @property
    def sign(self) -> float:
        """What the network's numbers are multiplied with."""
        return 1.0 if self.is_metric else -1.0

    def describe(self) -> dict[str, Any]:
        """For the fingerprint; of metres what has always been there."""
        return {"metric": True} if self.is_metric else {"metric": False, "unit": "relative", "sign_turned": True}


METRIC, INVERSE = Meaning("metric"), Meaning("inverse")


def _by_its_own_word(config: Mapping[str, Any]) -> Meaning:
    """Depth Anything, V1 and V2: relative is MiDaS' inverse depth, and what a configuration that says nothing means."""
    return METRIC if config.get("depth_estimation_type") == "metric" else INVERSE


def _dpt(config: Mapping[str, Any]) -> Meaning:
    """MiDaS' inverse depth; but heads on DINOv2, which alone have a projection, learned the metres of NYU or KITTI."""
    backbone = config.get("backbone_config")
    on_dinov2 = isinstance(backbone, Mapping) and str(backbone.get("model_type", "")).startswith("dinov2")
    return METRIC if config.get("add_projection") and on_dinov2 else INVERSE


# By `model_type`, as transformers calls the families that AutoModelForDepthEstimation loads.
_FAMILIES: Mapping[str, Callable[[Mapping[str, Any]], Meaning]] = {
    "depth_anything": _by_its_own_word,
    "dpt": _dpt,
    "zoedepth": lambda _: METRIC,
    "glpn": lambda _: METRIC,
    "depth_pro": lambda _: METRIC,
    "tipsv2_dpt": lambda _: METRIC,
}
_REFUSED = {
    "prompt_depth_anything": "needs a prompt, the depth of a sensor, which a video does not have",
    "chmv2": "tells the height of trees, not a distance",
}


def meaning_of(config: Mapping[str, Any], name: str) -> Meaning:
    """What a model's config.json says that its numbers mean.

    InvalidValueError where the family is not known, or what it tells is of no use.
    """
    family = str(config.get("model_type", ""))
    if family in _REFUSED:
        raise InvalidValueError(f"{name} is of the family {family}, which {_REFUSED[family]}")
    if family not in _FAMILIES:
        raise InvalidValueError(
            f"{name} is of the family '{family}': whether it tells metres or inverse depth is not known here; those "
            f"that are known are {', '.join(_FAMILIES)}"
        )
    return _FAMILIES[family](config)
