"""From video to features: frames, networks, the UADD descriptor, datasets, execution.

The names below are the public ones. Everything else may move; the depth pass itself is run by `auglift-prep`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..stores.surface import lazy

if TYPE_CHECKING:
    from .uadd.descriptor import Uadd, compute
    from .uadd.presets import PRESETS, Preset

__all__ = ["PRESETS", "Preset", "Uadd", "compute"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "PRESETS": ".uadd.presets",
        "Preset": ".uadd.presets",
        "Uadd": ".uadd.descriptor",
        "compute": ".uadd.descriptor",
    },
)
