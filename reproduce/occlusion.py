"""How often the occlusion rule of the analyses is right, against the exact visibility of rendered people.

    python -m reproduce.occlusion --clips 24

For every domain: precision and recall of `hidden` by the rule, against what the person's own body hides of itself (the
rule knows nothing else), and against all that hides it: furniture and passers-by, too. Joints outside the picture do
not count. No picture is drawn: visibility is one exact ray a joint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click
import numpy as np

from auglift.lifters.analysis.occlusion import hidden_joints
from auglift.pipeline.synth.clip import plan_clips
from auglift.pipeline.synth.domains import DOMAINS
from auglift.pipeline.synth.stage import set_stage
from auglift.pipeline.synth.truth import truth

FRAMES, SIZE = 20, 1000


def domain_counts(domain: str, clips: int) -> np.ndarray:
    """Return (2, 3): of joints hidden by the own body, and by anything: found by the rule and right, found, hidden."""
    total = np.zeros((2, 3), dtype=np.int64)
    for clip in plan_clips(domain, clips, frames=FRAMES, fps=5.0, size=SIZE):
        stage = set_stage(clip)
        crowd, pose = stage.crowd(np.arange(clip.frames))
        own = crowd.owner == 0
        alone = replace(
            crowd,
            ends=crowd.ends[:, own],
            radius=crowd.radius[own],
            frame=crowd.frame[:, own],
            material=crowd.material[own],
            cut=crowd.cut[own],
            owner=crowd.owner[own],
            people=1,
        )
        empty = replace(stage.scene, boxes=(), poles=())
        body = stage.walkers[0].body
        by_itself = truth(stage.camera, empty, body, pose, alone)
        known = truth(stage.camera, stage.scene, body, pose, crowd)
        found = hidden_joints(known.keypoints_h36m, known.joints_h36m[..., 2])
        xy = known.keypoints_h36m
        inside = (xy >= 0).all(-1) & (xy < SIZE).all(-1)
        for row, each in enumerate((by_itself, known)):
            hidden = ~each.visible_h36m & inside
            total[row] += [int((found & hidden).sum()), int((found & inside).sum()), int(hidden.sum())]
    return total


def rates(counts: Sequence[int]) -> tuple[float, float]:
    """Return precision and recall."""
    right, found, hidden = counts
    return right / max(found, 1), right / max(hidden, 1)


@click.command(help=__doc__)
@click.option("--clips", type=click.IntRange(min=1), default=24, show_default=True, help="Clips a domain.")
def main(clips: int) -> None:
    click.echo(
        "| domain | hidden joints | precision | recall | hidden by anything: precision | recall |\n" + "|---" * 6 + "|"
    )
    totals = {}
    for domain in DOMAINS:
        click.echo(f"{domain}: {clips} clips", err=True)
        totals[domain] = domain_counts(domain, clips)
    totals["all"] = sum(totals.values(), np.zeros((2, 3), dtype=np.int64))
    for domain, counts in totals.items():
        cells = [f"{value:.2f}" for row in counts for value in rates(row.tolist())]
        click.echo(f"| {domain} | {counts[0, 2]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
