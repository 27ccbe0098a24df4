"""How the networks compute: options that mean the same for every dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ...pipeline.computing import Computing
    from ...pipeline.plan import Clip

COMPUTING_OPTIONS = [
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "tf32", "float16", "bfloat16"]),
        default="auto",
        show_default=True,
        help="Of the networks. auto: float32 on a CPU, float16 on a GPU; the last layers never compute in 16 bits.",
    ),
    click.option(
        "--compile",
        "compile_networks",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        show_default=True,
        help="Compile the networks first, for minutes. auto: for a large job on a GPU.",
    ),
    click.option(
        "--depth-backend",
        type=click.Choice(["torch", "openvino"]),
        default="torch",
        show_default=True,
        help="openvino: about twice as fast on a CPU; needs pip install 'auglift[openvino]'.",
    ),
]


def computing_of(options: Mapping[str, Any], clips: Sequence[Clip]) -> Computing:
    """Return what the options say, and what is known of the job."""
    from ...pipeline.computing import Computing

    sizes: Counter[tuple[int, int]] = Counter()
    for clip in clips:
        sizes[clip.info.height, clip.info.width] += clip.count
    (size, _), *_ = sizes.most_common(1)
    return Computing(options["precision"], options["compile_networks"], options["depth_backend"], sizes.total(), size)
