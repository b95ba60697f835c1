"""Fit student and head to mixed crops: frame-wise cross-entropy, AdamW, warm-up and cosine, averaged weights; goes on after a kill.

A checkpoint is a folder with `state.safetensors` (weights, averaged weights, optimiser) and `progress.json`; it is replaced whole.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from detector.errors import TrainingError
from detector.train.listener import Listener
from detector.train.mixing import Batch, Mixer
from detector.train.recipe import FitRecipe, Recipe
from detector.train.targets import CALL, IGNORED

_STATE, _PROGRESS = "state.safetensors", "progress.json"


@dataclass(slots=True)
class Progress:
    """Where a run is, and how it got there.

    Attributes
    ----------
    step : int
        Steps done.
    losses : list of (step, loss)
        Mean since the point before.
    judgements : list of (step, score, details)
    best_step : int
    best_score : float
    seconds : float
        Time spent training and judging, over all restarts.
    """

    step: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    judgements: list[tuple[int, float, dict[str, float]]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = -math.inf
    seconds: float = 0.0


Judge = Callable[[Listener], tuple[float, dict[str, float]]]
"""Judges the averaged network: a score that rises with quality, and details for the log."""
Report = Callable[[Progress, float], None]


class Fitter:
    """One training run.

    Parameters
    ----------
    recipe : Recipe
    mixer : Mixer
    folder : Path
        Of the checkpoint; a run found there goes on.
    identity : str
        Of recipe and data. A checkpoint of another identity is refused.
    judge : callable, optional
        Called every ``judge_every`` steps and at the end.
    """

    def __init__(self, recipe: Recipe, mixer: Mixer, folder: Path, identity: str, judge: Judge | None = None) -> None:
        torch.manual_seed(recipe.seed)
        self.fit: FitRecipe = recipe.fit
        self.mixer = mixer
        self.folder = folder
        self.identity = identity
        self.judge = judge
        self.model = Listener(recipe, quick=True)
        self._start_quiet()
        self.average = Listener(recipe)
        self.average.load_state_dict(self.model.state_dict())
        self.average.requires_grad_(False)
        self.best = {name: value.clone() for name, value in self.average.state_dict().items()}
        self.optimiser = torch.optim.AdamW(_groups(self.model, self.fit.weight_decay), lr=self.fit.learning_rate, betas=(0.9, 0.98))
        self.progress = Progress()
        self._recent: list[float] = []
        if _fresh(folder).joinpath(_PROGRESS).is_file() and not folder.exists():
            os.replace(_fresh(folder), folder)
        if (folder / _PROGRESS).is_file():
            self._load()

    def run(self, report: Report | None = None, until: int | None = None, save_every: int = 100) -> Progress:
        """Train to the end of the recipe, or to a step, or until judgements stop getting better; the best weights are in ``average``."""
        last = self.fit.steps if until is None else min(until, self.fit.steps)
        while self.progress.step < last and not self._stale():
            began = time.monotonic()
            loss = self._step()
            self.progress.step += 1
            self._recent.append(loss)
            self.progress.seconds += time.monotonic() - began
            done = self.progress.step
            if done % 10 == 0 or done == last:
                self.progress.losses.append((done, sum(self._recent) / len(self._recent)))
                self._recent.clear()
            if done % self.fit.judge_every == 0 or done == self.fit.steps:
                self._judge()
            if done % save_every == 0 or done == last:
                self.save()
            if report is not None:
                report(self.progress, loss)
        return self.progress

    def use_best(self) -> Listener:
        """The averaged network with the weights that were judged best; the last ones when nothing was judged."""
        if self.progress.judgements:
            self.average.load_state_dict(self.best)
        return self.average.eval()

    def save(self) -> None:
        """Write the checkpoint; the one before stays until the new one is whole."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        fresh = _fresh(self.folder)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        safetensors.torch.save_file({name: value.contiguous() for name, value in tensors.items()}, fresh / _STATE)
        values = {**asdict(self.progress), "recent": self._recent, "identity": self.identity}
        (fresh / _PROGRESS).write_text(json.dumps(values), encoding="utf-8")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(fresh, self.folder)

    def _load(self) -> None:
        try:
            values: dict[str, Any] = json.loads((self.folder / _PROGRESS).read_text(encoding="utf-8"))
            tensors = safetensors.torch.load_file(self.folder / _STATE)
            if values.pop("identity") != self.identity:
                raise ValueError("it belongs to another recipe or other data")
            self._recent = values.pop("recent")
            self.progress = Progress(**values)
            self.model.load_state_dict(_under(tensors, "model."))
            self.average.load_state_dict(_under(tensors, "average."))
            self.best = _under(tensors, "best.")
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _under(tensors, "optimiser.").items():
                number, key = name.split(".", 1)
                state.setdefault(int(number), {})[key] = value
            self.optimiser.load_state_dict({"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]})
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
            raise TrainingError(f"the checkpoint {self.folder} does not fit: {error}", "delete that folder to begin afresh") from error

    def _step(self) -> float:
        """One step; its loss."""
        done = self.progress.step
        for group in self.optimiser.param_groups:
            group["lr"] = self.fit.learning_rate * _schedule(done, self.fit.warmup_steps, self.fit.steps)
        batch = self.mixer.batch(done, self.fit.batch)
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.fit.bf16):
            logits = self.model(batch.features, batch.valid)
        loss = frame_loss(logits.float(), batch, self.fit.positive_weight)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.fit.gradient_norm)
        self.optimiser.step()
        decay = min(self.fit.ema, (1.0 + done) / (10.0 + done))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss became {value} at step {done}", "lower fit.learning_rate, or set fit.bf16 to false")
        return value

    def _judge(self) -> None:
        if self.judge is None:
            return
        began = time.monotonic()
        score, details = self.judge(self.average.eval())
        self.progress.seconds += time.monotonic() - began
        self.progress.judgements.append((self.progress.step, score, details))
        if score > self.progress.best_score:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.best = {name: value.clone() for name, value in self.average.state_dict().items()}

    def _stale(self) -> bool:
        since = sum(step > self.progress.best_step for step, _, _ in self.progress.judgements)
        return since >= self.fit.patience

    def _start_quiet(self) -> None:
        """Begin at the share of call frames in nature's mixture, about one in five, so that the first steps are not lost on it."""
        self.model.bias.fill_(-1.4)


def _fresh(folder: Path) -> Path:
    """Where a checkpoint is written before it replaces the one before; whole once it has its progress."""
    return folder.with_name(folder.name + ".new")


def frame_loss(logits: Tensor, batch: Batch, positive_weight: float) -> Tensor:
    """Mean binary cross-entropy over frames that are real and whose meaning is known."""
    known = (batch.valid > 0) & (batch.targets != IGNORED)
    target = (batch.targets == CALL).float()
    weight = known.float() * torch.where(batch.targets == CALL, positive_weight, 1.0)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp(min=1.0)


def _schedule(step: int, warmup: int, steps: int) -> float:
    """Share of the learning rate: a linear rise, then half a cosine down to one hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    through = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(through, 1.0)))


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and filters decay; biases and norms do not."""
    matrices = [value for value in model.parameters() if value.ndim > 1]
    vectors = [value for value in model.parameters() if value.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
