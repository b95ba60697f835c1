"""The development set: what judges variants, stops training and sets the event parameters. Never a file of the test split.

It has three parts: annotated recordings as they are; isolated calls of species that training does not see, planted into field noise that
training does not see, at known times and levels; and noise and speech alone, for false events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.errors import TrainingError
from detector.train.banks import Piece, file_piece, role_of
from detector.train.corpus import CorpusFile
from detector.train.hearing import FeatureMaker, read_audio
from detector.train.recipe import Recipe
from detector.train.targets import CALL, IGNORED, QUIET, Targets
from detector.types import FloatArray

Spans = tuple[tuple[float, float], ...]

_PLANTED_S = 25.0
_SNR_DB = (0.0, 25.0)
_SHORTEST_NOISE_S = 4.0
_LONGEST_NOISE_S = 40.0


@dataclass(frozen=True, slots=True)
class DevItem:
    """One recording of the development set.

    Attributes
    ----------
    name, group : str
        ``group`` is about one species; the group of a recording without calls is "negative".
    samples : float32 (n,)
        At the bundle's rate.
    events, ignored : tuple of (start_s, end_s)
    annotated : bool
        A person drew the borders; those of planted calls come from their level.
    """

    name: str
    group: str
    samples: FloatArray
    events: Spans
    ignored: Spans
    annotated: bool = False

    @property
    def negative(self) -> bool:
        """It holds no call: every detection in it is false."""
        return self.group == "negative"


def make_dev_items(recipe: Recipe, files: Sequence[CorpusFile]) -> list[DevItem]:
    """The development set of a recipe; the same recipe and files give the same set.

    Raises
    ------
    TrainingError
        If there are no calls or no noise in it.
    """
    maker = FeatureMaker(recipe.frontend, recipe.sample_rate_hz)
    roles = [(file, role_of(file, recipe)) for file in files]
    rate = recipe.sample_rate_hz
    items = [_annotated(file, rate) for file, role in roles if role == "recording"]
    noises = [(file, read_audio(file.path, rate, _LONGEST_NOISE_S)) for file, role in roles if role == "noise"]
    long_enough = [samples for _, samples in noises if len(samples) >= _SHORTEST_NOISE_S * rate]
    calls: dict[str, list[tuple[FloatArray, Piece]]] = {}
    for file, role in roles:
        piece = file_piece(file, role, maker) if role == "calls" else None
        if piece is not None:
            calls.setdefault(file.group, []).append((read_audio(file.path, rate), piece))
    if not long_enough or not (calls or items):
        raise TrainingError("the development set has no calls or no noise", "name some of each in the recipe's data.dev")
    rng = np.random.default_rng((recipe.seed, 77))
    for group, sources in calls.items():
        items.append(_planted(rng, group, sources, long_enough, maker))
    items += [DevItem(file.name, "negative", samples, (), ()) for file, samples in noises]
    items += [
        DevItem(file.name, "negative", read_audio(file.path, rate, _LONGEST_NOISE_S), (), ()) for file, role in roles if role == "negative"
    ]
    return items


def _annotated(file: CorpusFile, sample_rate_hz: int) -> DevItem:
    spans = tuple((one.start_s, one.end_s) for one in file.annotations if one.animal)
    return DevItem(file.name, file.group, read_audio(file.path, sample_rate_hz), spans, (), annotated=True)


def target_spans(targets: Targets, hop_s: float) -> tuple[Spans, Spans]:
    """Events and unknown spans in frame targets. Call frames with only unknown frames between them, up to 0.1 s, are one event."""
    bridged = targets.copy()
    for first, last in _runs(targets == IGNORED):
        between = first > 0 and last < len(targets) and targets[first - 1] == CALL and targets[last] == CALL
        if between and (last - first) * hop_s <= 0.1:
            bridged[first:last] = CALL
    events = tuple((first * hop_s, last * hop_s) for first, last in _runs(bridged == CALL))
    ignored = tuple((first * hop_s, last * hop_s) for first, last in _runs(bridged == IGNORED))
    return events, ignored


def _runs(mask: npt.NDArray[np.bool_]) -> Iterable[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _planted(
    rng: np.random.Generator, group: str, sources: Sequence[tuple[FloatArray, Piece]], noises: Sequence[FloatArray], maker: FeatureMaker
) -> DevItem:
    """Calls of one species, one after another with pauses, in one field noise that never repeats in step with them."""
    rate = maker.sample_rate_hz
    noise = noises[int(rng.integers(len(noises)))]
    n = round(_PLANTED_S * rate)
    total = np.tile(noise, -(-n // len(noise)))[:n].copy()
    level = max(float(np.sqrt(np.mean(total.astype(np.float64) ** 2))), 1e-5)
    events: list[tuple[float, float]] = []
    ignored: list[tuple[float, float]] = []
    at = round(float(rng.uniform(0.5, 1.5)) * rate)
    while True:
        samples, piece = sources[int(rng.integers(len(sources)))]
        if len(samples) > n // 3:
            samples, targets = samples[: n // 3], piece.targets[: int(n / 3 / rate / maker.hop_s)]
        else:
            targets = piece.targets
        if at + len(samples) > n:
            break
        sounding = np.repeat(targets != QUIET, maker.numbers.hop_samples)[: len(samples)]
        loud = float(np.sqrt(np.mean(samples[: len(sounding)][sounding].astype(np.float64) ** 2)))
        gain = level * 10 ** (float(rng.uniform(*_SNR_DB)) / 20) / max(loud, 1e-9)
        total[at : at + len(samples)] += np.float32(gain) * samples
        here, unknown = target_spans(targets, maker.hop_s)
        events += [(at / rate + first, at / rate + last) for first, last in here]
        ignored += [(at / rate + first, at / rate + last) for first, last in unknown]
        at += len(samples) + round(float(rng.uniform(0.3, 2.0)) * rate)
    return DevItem(f"planted {group}", group, total, tuple(events), tuple(ignored))
