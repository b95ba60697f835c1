"""Training crops, mixed in mel-power space from banks: any call over any background at any level, as any recorder might hear it.

Crop number i of a seed is always the same, so a run that was killed goes on bit-equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detector.errors import TrainingError
from detector.model.architecture import FrontendNumbers
from detector.model.frontend import mel_points_hz
from detector.train.banks import Banks, Piece
from detector.train.recipe import MixingRecipe
from detector.train.targets import CALL, IGNORED, QUIET

_SOURCE_RATES_HZ = (2_500, 8_000, 11_025, 16_000, 16_000, 22_050, 22_050, 24_000)
_AUDIBLE_SPAN_FRAMES = 13
_DROWNED_DB = -8.0
"""Frames of unknown meaning that stand out less than this are quiet: nobody could hear them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops for one step.

    Attributes
    ----------
    features : float32 (batch, frames, mel_bands)
    valid : float32 (batch, frames)
    targets : uint8 (batch, frames)
    """

    features: Tensor
    valid: Tensor
    targets: Tensor


class Mixer:
    """Makes batches from banks.

    Parameters
    ----------
    banks : Banks
    recipe : MixingRecipe
    numbers : FrontendNumbers
    sample_rate_hz, seed : int

    Raises
    ------
    TrainingError
        If there is no call or no background to mix.
    """

    def __init__(self, banks: Banks, recipe: MixingRecipe, numbers: FrontendNumbers, sample_rate_hz: int, seed: int) -> None:
        if not (banks.synthetic_calls or banks.real_calls):
            raise TrainingError("the banks hold no call", "raise synthesis.bouts or add sets with calls to the recipe")
        if not (banks.synthetic_backgrounds or banks.real_backgrounds):
            raise TrainingError("the banks hold no background", "raise synthesis.backgrounds or add sets with noise to the recipe")
        self.banks = banks
        self.recipe = recipe
        self.numbers = numbers
        self.seed = seed
        self.n_frames = round(recipe.crop_s * sample_rate_hz / numbers.hop_samples)
        self._centres_hz = mel_points_hz(numbers)[1:-1]
        self._species = _by_group(banks.real_calls)

    def batch(self, step: int, size: int) -> Batch:
        """The crops of one step."""
        rows = [self.crop(np.random.default_rng((self.seed, step, row))) for row in range(size)]
        features, valid, targets = (torch.stack(parts) for parts in zip(*rows, strict=True))
        return Batch(features, valid, targets)

    def crop(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Features, validity and targets of one crop."""
        if self.banks.recordings and rng.random() < self.recipe.plain_recording:
            power, targets = self._recording(rng)
        else:
            power, targets = self._mixture(rng)
        power = self._recorder(rng, power)
        floor = 10 ** (self.numbers.floor_db / 10)
        features = (10.0 * torch.log10(power.clamp(min=floor)) - self.numbers.mean_db) / self.numbers.std_db
        valid = torch.ones(self.n_frames)
        n = len(features)
        if n > 100 and rng.random() < self.recipe.short_segment:
            n = int(rng.integers(60, n + 1))
        return _padded(features[:n], self.n_frames), _padded(valid[:n], self.n_frames), _padded(targets[:n], self.n_frames)

    def _recording(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Part of a labelled recording as it is, at another level."""
        piece = _draw(rng, self.banks.recordings)
        first = int(rng.integers(max(1, len(piece.targets) - self.n_frames + 1)))
        power, targets = self._power(piece, first, self.n_frames)
        gain_db = float(rng.uniform(-20.0, 10.0))
        return power * self._equaliser(rng, 0.5 * self.recipe.equaliser_db) * 10 ** (gain_db / 10), targets

    def _mixture(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Background, perhaps a hard negative, and a few bouts."""
        total = self._background(rng)
        targets = torch.full((self.n_frames,), QUIET, dtype=torch.uint8)
        if self.banks.hard_negatives and rng.random() < self.recipe.hard_negative:
            self._add_negative(rng, total)
        least, most = self.recipe.bouts
        background = total.clone()
        for _ in range(int(rng.integers(least, most + 1))):
            self._add_bout(rng, total, background, targets)
        return total, targets

    def _background(self, rng: np.random.Generator) -> Tensor:
        total = self._looped(rng, self._noise_bank(rng))
        if rng.random() < self.recipe.second_background:
            other = self._looped(rng, self._noise_bank(rng))
            total = total + other * (total.sum() / other.sum().clamp(min=1e-30) * 10 ** (rng.uniform(-15.0, 3.0) / 10))
        level_db = -115.0 if rng.random() < 0.04 else float(rng.uniform(*self.recipe.level_db))
        total = total * (self.n_frames * 10 ** (level_db / 10) / total.sum().clamp(min=1e-30))
        hiss_db = float(rng.uniform(-118.0, -88.0))
        return total + 10 ** (hiss_db / 10)

    def _noise_bank(self, rng: np.random.Generator) -> tuple[Piece, ...]:
        real, synthetic = self.banks.real_backgrounds, self.banks.synthetic_backgrounds
        if not synthetic or (real and rng.random() < self.recipe.real_background):
            return real
        return synthetic

    def _looped(self, rng: np.random.Generator, bank: tuple[Piece, ...]) -> Tensor:
        """A background of full length; shorter ones go to and fro."""
        piece = _draw(rng, bank)
        n = len(piece.targets)
        first = int(rng.integers(max(1, n - self.n_frames + 1)))
        power, _ = self._power(piece, first, self.n_frames)
        while len(power) < self.n_frames:
            power = torch.cat((power, power.flip(0)))
        return power[: self.n_frames] * self._equaliser(rng, self.recipe.equaliser_db)

    def _add_negative(self, rng: np.random.Generator, total: Tensor) -> None:
        """A sound that is no animal, over the background."""
        piece = _draw(rng, self.banks.hard_negatives)
        power, _ = self._power(piece, int(rng.integers(max(1, len(piece.targets) - self.n_frames + 1))), self.n_frames)
        power = power * self._equaliser(rng, 0.5 * self.recipe.equaliser_db)
        first = int(rng.integers(max(1, self.n_frames - len(power) + 1)))
        span = slice(first, first + len(power))
        loud = power.sum(1).sort().values[-max(1, len(power) // 10) :].mean()
        gain = total[span].sum(1).mean() / loud.clamp(min=1e-30) * 10 ** (rng.uniform(0.0, 30.0) / 10)
        total[span] += power * gain

    def _add_bout(self, rng: np.random.Generator, total: Tensor, background: Tensor, targets: Tensor) -> None:
        """A call, series or song at a level over the background in its own bands."""
        real, synthetic = self.banks.real_calls, self.banks.synthetic_calls
        use_real = bool(real) and (not synthetic or rng.random() < self.recipe.real_bout)
        piece = self._real_piece(rng) if use_real else _draw(rng, synthetic)
        n = len(piece.targets)
        longest = int(rng.integers(self.n_frames // 4, self.n_frames + 1))
        power, call = self._power(piece, int(rng.integers(max(1, n - longest + 1))), longest)
        power = self._shifted(rng, power) * self._equaliser(rng, self.recipe.equaliser_db)
        power, call = _stretched(power, call, float(np.exp(rng.uniform(-0.25, 0.25))), self.n_frames)
        if not bool((call == CALL).any()):
            return
        first = int(rng.integers(-len(power) // 4, self.n_frames - len(power) // 2))
        begin, end = max(first, 0), min(first + len(power), self.n_frames)
        power, call = power[begin - first : end - first], call[begin - first : end - first]
        if not bool((call == CALL).any()):
            return
        bands = power[call == CALL].mean(0)
        bands = bands > 0.1 * bands.max()
        around = background[begin:end][:, bands].sum(1)
        loud = power[:, bands].sum(1)
        snr_db = float(rng.uniform(*self.recipe.snr_db))
        gain = around.mean() / loud[call == CALL].mean().clamp(min=1e-30) * 10 ** (snr_db / 10)
        stand_db = 10 * torch.log10((_swollen(loud) * gain).clamp(min=1e-20) / around.clamp(min=1e-20))
        call = torch.where((call == CALL) & (stand_db < self.recipe.audible_db), IGNORED, call)
        call = torch.where((call == IGNORED) & (stand_db < _DROWNED_DB), QUIET, call).to(torch.uint8)
        total[begin:end] += power * gain
        there = targets[begin:end]
        targets[begin:end] = torch.where((there == CALL) | (call == CALL), CALL, torch.maximum(there, call)).to(torch.uint8)

    def _real_piece(self, rng: np.random.Generator) -> Piece:
        """A real call: first a species, then one of its recordings, so that no species dominates."""
        weights = np.sqrt([len(pieces) for pieces in self._species])
        return _draw(rng, self._species[int(rng.choice(len(weights), p=weights / weights.sum()))])

    def _power(self, piece: Piece, first: int, n: int) -> tuple[Tensor, Tensor]:
        features = torch.from_numpy(piece.features[first : first + n]).float()
        power = torch.exp((features * self.numbers.std_db + self.numbers.mean_db) * (np.log(10.0) / 10.0))
        return power, torch.from_numpy(piece.targets[first : first + n].copy())

    def _shifted(self, rng: np.random.Generator, power: Tensor) -> Tensor:
        """Moved up or down by whole mel bands: another size of animal."""
        shift = int(rng.integers(-self.recipe.mel_shift_bands, self.recipe.mel_shift_bands + 1))
        moved = torch.roll(power, shift, 1)
        if shift > 0:
            moved[:, :shift] = 0.0
        elif shift < 0:
            moved[:, shift:] = 0.0
        return moved

    def _equaliser(self, rng: np.random.Generator, spread_db: float) -> Tensor:
        """A smooth random gain over the bands, linear."""
        knots = rng.normal(0.0, spread_db, 6)
        line = np.interp(np.linspace(0, 5, self.numbers.mel_bands), np.arange(6), knots)
        return torch.from_numpy(10 ** (line / 10)).float()

    def _recorder(self, rng: np.random.Generator, power: Tensor) -> Tensor:
        """What the recorder leaves of it: an empty upper band where the source had a low sample rate, weak bass behind a high-pass."""
        gain_db = np.zeros(self.numbers.mel_bands)
        if rng.random() < self.recipe.low_pass:
            limit_hz = 0.5 * float(rng.choice(_SOURCE_RATES_HZ)) * float(rng.uniform(0.85, 1.0))
            gain_db -= np.clip((self._centres_hz - limit_hz) / (0.08 * limit_hz), 0.0, 1.0) * float(rng.uniform(50.0, 120.0))
        if rng.random() < 0.25:
            corner_hz = float(np.exp(rng.uniform(np.log(80.0), np.log(800.0))))
            gain_db -= np.clip(np.log2(corner_hz / self._centres_hz), 0.0, 4.0) * 12.0
        return power * torch.from_numpy(10 ** (gain_db / 10)).float()


def _by_group(pieces: tuple[Piece, ...]) -> tuple[tuple[Piece, ...], ...]:
    named: dict[str, list[Piece]] = {}
    for piece in pieces:
        named.setdefault(piece.group, []).append(piece)
    return tuple(tuple(members) for members in named.values())


def _draw(rng: np.random.Generator, pieces: tuple[Piece, ...]) -> Piece:
    return pieces[int(rng.integers(len(pieces)))]


def _padded(values: Tensor, n: int) -> Tensor:
    """Zeros after the end."""
    out = values.new_zeros((n, *values.shape[1:]))
    out[: len(values)] = values[:n]
    return out


def _stretched(power: Tensor, call: Tensor, factor: float, most: int) -> tuple[Tensor, Tensor]:
    """Slower or faster, by repeating or leaving out frames."""
    n = max(1, min(most, round(len(power) * factor)))
    at = (torch.arange(n) / factor).long().clamp(max=len(power) - 1)
    return power[at], call[at]


def _swollen(loudness: Tensor) -> Tensor:
    """The loudest within a few frames: the pauses of a trill are part of it."""
    half = _AUDIBLE_SPAN_FRAMES // 2
    out: Tensor = torch.nn.functional.max_pool1d(loudness[None, None], _AUDIBLE_SPAN_FRAMES, 1, half)[0, 0]
    return out
