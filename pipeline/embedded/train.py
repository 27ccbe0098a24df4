"""Trains the tiny networks on rendered people: `python -m auglift.cli.tiny train depth --out DIR`.

One process trains one network; all three have the same loop. It first renders frames into DIR/frames, which several
processes and later runs share. At intervals it writes DIR/NAME.ckpt, from which it continues when it is started again,
and, if the averaged weights are the best so far on the validation clips, DIR/tiny-NAME.safetensors. DIR/NAME.jsonl has
the losses.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError
from ..networks.weights.load import seeded
from .batch import Batch
from .cache import FrameCache
from .tasks import TASKS, Task

_WARM_UP = 0.02  # share of the run with a rising learning rate
_EMA = 0.998
_CLIP = 5.0  # largest norm of the gradient
_VALIDATION = 0.03  # share of the clips, at the end


@dataclass(frozen=True)
class Run:
    """The options of a training.

    minutes  how long; on a CPU this is processor time, so that a busy machine takes longer and learns as much
    steps    how many batches, if not 0; then the result depends on the seed only
    """

    name: str
    minutes: float = 60.0
    steps: int = 0
    seed: int = 0
    batch: int = 0
    save_every: float = 120.0  # seconds

    def __post_init__(self) -> None:
        if self.name not in TASKS:
            raise InvalidValueError(f"no tiny network {self.name!r}: there are {', '.join(TASKS)}")
        if self.steps <= 0 and not self.minutes > 0:
            raise InvalidValueError(f"a training of {self.minutes} minutes or {self.steps} steps has nothing to do")


class Trainer:
    """A network, its average, its optimiser and their progress. `run` continues from where they are to the end."""

    def __init__(
        self,
        run: Run,
        cache: FrameCache,
        per_clip: int,
        out: Path,
        device: str | torch.device = "cpu",
        say: Callable[[str], None] = lambda line: None,
    ):
        self.options, self.cache, self.out, self.device, self.say = run, cache, out, torch.device(device), say
        self.task: Task = TASKS[run.name]
        model: Any = self.task.build(run.seed)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.average: Any = copy.deepcopy(self.model).requires_grad_(False)
        plain = [value for value in self.model.parameters() if value.ndim < 2]  # norms and biases are not decayed
        weights = [value for value in self.model.parameters() if value.ndim >= 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": weights, "weight_decay": self.task.decay}, {"params": plain, "weight_decay": 0.0}],
            lr=self.task.rate,
        )
        self.step, self.seconds, self.best = 0, 0.0, math.inf
        aside = max(1, round(len(cache) // per_clip * _VALIDATION)) * per_clip
        self.train, self.validation = np.arange(len(cache) - aside), np.arange(len(cache) - aside, len(cache))
        out.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.is_file():
            self._load()

    @property
    def _checkpoint(self) -> Path:
        return self.out / f"{self.options.name}.ckpt"

    @property
    def weights(self) -> Path:
        return self.out / f"tiny-{self.options.name}.safetensors"

    @property
    def progress(self) -> float:
        """How much of the training is done, from 0 to 1."""
        done = self.step / self.options.steps if self.options.steps else self.seconds / (60 * self.options.minutes)
        return min(1.0, done)

    def run(self, until: float = 1.0) -> None:
        """Train until the progress is `until`, and write checkpoints and losses."""
        due, losses = time.monotonic() + self.options.save_every, []
        clock = time.monotonic if self.device.type == "cuda" else time.thread_time
        before = self.seconds - clock()
        while self.progress < until:
            losses.append(self.learn())
            self.seconds = before + clock()
            if (now := time.monotonic()) > due:
                self.save(losses)
                # On a busy machine, validation must not take all the time.
                due, losses = time.monotonic() + max(self.options.save_every, 10 * (time.monotonic() - now)), []
        self.save(losses)

    def learn(self) -> dict[str, float]:
        """Do one step, with a batch that depends only on the seed and the step."""
        rng = np.random.default_rng((self.options.seed, self.step))
        indices = rng.choice(self.train, self.options.batch or self.task.batch)
        rate = self.task.rate * _schedule(self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with seeded(self.step):
            losses = self.task.loss(self.model, self._sample(indices, rng))
            total = torch.stack(list(losses.values())).sum()
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
            if torch.isfinite(norm):  # a batch without a finite gradient is skipped
                self.optimiser.step()
        self.step += 1
        self._follow()
        return {"loss": float(total.detach()), **{name: float(value.detach()) for name, value in losses.items()}}

    def _sample(self, indices: np.ndarray, rng: np.random.Generator | None) -> Batch:
        return {name: value.to(self.device) for name, value in self.task.sample(self.cache, indices, rng).items()}

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(_EMA, (1 + self.step) / (10 + self.step))
        own = self.model.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(own[name], 1 - keep)
            else:
                value.copy_(own[name])

    @torch.no_grad()
    def validate(self, most: int = 96) -> float:
        """Return the averaged network's loss on the validation clips, without augmentation."""
        chosen = self.validation[:: max(1, len(self.validation) // most)]
        self.average.eval()
        losses = []
        for part in np.array_split(chosen, max(1, len(chosen) // 16)):
            with seeded(0):
                losses += list(self.task.loss(self.average, self._sample(part, None)).values())
        return float(torch.stack(losses).sum()) / max(1, len(chosen) // 16)

    def save(self, losses: list[dict[str, float]]) -> None:
        """Write losses and checkpoint, and the weights to ship if they are the best so far."""
        loss = self.validate()
        line = {"step": self.step, "seconds": round(self.seconds), "validation": round(loss, 5)}
        for name in losses[0] if losses else ():
            line[name] = round(float(np.mean([each[name] for each in losses])), 5)
        with (self.out / f"{self.options.name}.jsonl").open("a") as curves:
            curves.write(json.dumps(line) + "\n")
        self.say(f"{self.options.name} {self.progress:6.1%} {json.dumps(line)}")
        if loss < self.best:
            self.best = loss
            export(self.average, self.weights)
        state = {
            "options": asdict(self.options),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
        }
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)

    def _load(self) -> None:
        path = self._checkpoint
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            options = state["options"]
        except Exception as error:  # torch raises many types
            raise InvalidValueError(f"{path} is no checkpoint of a training: delete it to start again") from error
        if options["seed"] != self.options.seed or options["name"] != self.options.name:
            raise InvalidValueError(f"{path} is of seed {options['seed']}, not {self.options.seed}: give another --out")
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise InvalidValueError(f"{path} is of another architecture: delete it to start again") from error
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]


def _schedule(progress: float) -> float:
    """Return the learning rate as a share of the highest: linear up, then a cosine down to a hundredth."""
    if progress < _WARM_UP:
        return max(0.02, progress / _WARM_UP)
    along = (progress - _WARM_UP) / (1 - _WARM_UP)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))


def export(model: nn.Module, path: Path) -> None:
    """Write the weights to ship: float16, each shared tensor once. The file is written whole or not at all."""
    from safetensors.torch import save_file

    kept: dict[tuple[int, torch.Size], str] = {}
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        # Layers that share weights: only the first name is written (see weights.fit_state).
        if value.numel() > 1 and kept.setdefault((value.data_ptr(), value.shape), name) != name:
            continue
        value = value.detach().cpu().contiguous()
        state[name] = value.half() if value.is_floating_point() else value.clone()
    bad = [name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise InvalidValueError(f"{bad[0]} does not fit float16, {len(bad)} tensors in all: nothing was written")
    part = path.with_suffix(".part")
    save_file(state, part)
    part.chmod(0o644)
    with suppress(FileNotFoundError):
        part.replace(path)


def curves(path: Path) -> list[Mapping[str, float]]:
    """Return the lines of a training's NAME.jsonl."""
    return [json.loads(line) for line in path.read_text().splitlines()]
