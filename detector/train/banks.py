"""Banks of spectrogram pieces with frame targets: what training crops are mixed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.train.ambience import INTRUSIONS
from detector.train.calls import make_bout
from detector.train.corpus import CorpusFile
from detector.train.hearing import FeatureMaker, read_audio
from detector.train.recipe import Recipe
from detector.train.synthesis import make_background
from detector.train.targets import IGNORED, QUIET, Targets, annotated_targets, isolated_targets, span_targets
from detector.train.waves import far_away, unit_level

Halves = npt.NDArray[np.float16]
Progress = Callable[[str], None]

_LONGEST_FILE_S = 120.0
_NOISE_USES = ("noise", "weak noise")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of sound as features.

    Attributes
    ----------
    name : str
        Where it came from.
    group : str
        Its species or kind.
    features : float16 (frames, mel_bands)
        As the front end gives them.
    targets : uint8 (frames,)
    """

    name: str
    group: str
    features: Halves
    targets: Targets


@dataclass(frozen=True, slots=True)
class Banks:
    """All pieces by their use.

    ``recordings`` are completely labelled and may also be used as they are; they are among ``real_calls``, too.
    """

    synthetic_calls: tuple[Piece, ...]
    real_calls: tuple[Piece, ...]
    recordings: tuple[Piece, ...]
    synthetic_backgrounds: tuple[Piece, ...]
    real_backgrounds: tuple[Piece, ...]
    hard_negatives: tuple[Piece, ...]

    def hours(self, hop_s: float) -> dict[str, float]:
        """Length of each bank."""
        names = ("synthetic_calls", "real_calls", "recordings", "synthetic_backgrounds", "real_backgrounds", "hard_negatives")
        return {name: round(sum(len(piece.targets) for piece in getattr(self, name)) * hop_s / 3600, 4) for name in names}


def make_banks(recipe: Recipe, files: Iterable[CorpusFile], progress: Progress) -> Banks:
    """Synthesise and read everything a recipe asks for; the same recipe and files give the same banks."""
    maker = FeatureMaker(recipe.frontend, recipe.sample_rate_hz)
    calls, recordings, noises, negatives = _real(recipe, maker, files, progress)
    streams = np.random.SeedSequence(recipe.seed).spawn(3)
    progress("synthetic calls")
    seeds = streams[0].spawn(recipe.synthesis.bouts)
    synthetic = [_bout(maker, np.random.default_rng(child), number) for number, child in enumerate(seeds)]
    progress("synthetic backgrounds")
    n = round(recipe.synthesis.background_s * recipe.sample_rate_hz)
    backgrounds = [_background(maker, np.random.default_rng(child), n) for child in streams[1].spawn(recipe.synthesis.backgrounds)]
    progress("synthetic intrusions")
    kinds = list(INTRUSIONS)
    negatives += [
        _intrusion(maker, np.random.default_rng(child), n, kinds[number % len(kinds)])
        for number, child in enumerate(streams[2].spawn(recipe.synthesis.intrusions))
    ]
    return Banks(tuple(synthetic), tuple(calls), tuple(recordings), tuple(backgrounds), tuple(noises), tuple(negatives))


def role_of(file: CorpusFile, recipe: Recipe) -> str:
    """What a file is good for in training: "recording", "calls", "partial", "noise", "negative" or "" for nothing."""
    sets = {entry.name: entry for entry in recipe.data.sets}
    if file.set_name not in sets:
        return ""
    if file.use == "events" and file.annotations:
        return "recording" if file.complete else "partial"
    if file.use == "clips" and file.label in recipe.data.animal_labels:
        return "calls"
    if file.use == "weak animal" and sets[file.set_name].isolated_calls:
        return "calls"
    if file.use in _NOISE_USES:
        return "noise"
    if file.use == "speech" or (file.use == "clips" and file.label and file.label not in recipe.data.unused_labels):
        return "negative"
    return ""


def file_piece(file: CorpusFile, role: str, maker: FeatureMaker) -> Piece | None:
    """A recording with its targets by its role; None for isolated calls whose borders cannot be told."""
    features = maker(read_audio(file.path, maker.sample_rate_hz, None if role in ("recording", "partial") else _LONGEST_FILE_S))
    targets: Targets | None = np.full(len(features), QUIET, np.uint8)
    if role in ("recording", "partial"):
        targets = annotated_targets(features, maker.numbers, maker.hop_s, file)
    elif role == "calls":
        targets = isolated_targets(features, maker.numbers, maker.hop_s)
    return None if targets is None else Piece(file.name, file.group, features.astype(np.float16), targets)


def _real(
    recipe: Recipe, maker: FeatureMaker, files: Iterable[CorpusFile], progress: Progress
) -> tuple[list[Piece], list[Piece], list[Piece], list[Piece]]:
    """Calls, complete recordings, noises and hard negatives of a corpus."""
    calls: list[Piece] = []
    recordings: list[Piece] = []
    noises: list[Piece] = []
    negatives: list[Piece] = []
    for file in files:
        role = role_of(file, recipe)
        if not role:
            continue
        progress(file.name)
        piece = file_piece(file, role, maker)
        if piece is None:
            continue
        if role == "recording":
            recordings.append(piece)
        if role in ("recording", "partial", "calls"):
            calls.append(piece)
        elif role == "noise":
            noises.append(piece)
        else:
            negatives.append(piece)
    return calls, recordings, noises, negatives


def _bout(maker: FeatureMaker, rng: np.random.Generator, number: int) -> Piece:
    """A synthetic bout, near or far, at a level of -20 dB, and half a second around it."""
    bout = make_bout(rng, maker.sample_rate_hz)
    samples = bout.samples if rng.random() < 0.4 else far_away(rng, bout.samples, maker.sample_rate_hz, float(rng.uniform(3.0, 150.0)))
    lead_s = float(rng.uniform(0.05, 0.2))
    padded = np.zeros(len(samples) + round(2 * lead_s * maker.sample_rate_hz))
    start = round(lead_s * maker.sample_rate_hz)
    padded[start : start + len(samples)] = 0.1 * samples / max(1e-9, float(np.sqrt(np.mean(samples**2))))
    features = maker(padded)
    spans = ((lead_s + begin, lead_s + end) for begin, end, _, _ in bout.spans_s)
    targets = span_targets(len(features), maker.hop_s, spans)
    if len(samples) > len(bout.samples):
        _ignore_tails(targets, round(0.06 / maker.hop_s))
    return Piece(f"bout {number}", bout.kind, features.astype(np.float16), targets)


def _ignore_tails(targets: Targets, n_frames: int) -> None:
    """Mark up to ``n_frames`` after each call as unknown: its echo sounds there."""
    ends = np.flatnonzero((targets[:-1] == 1) & (targets[1:] == QUIET)) + 1
    for end in ends:
        tail = targets[end : end + n_frames]
        tail[tail == QUIET] = IGNORED


def _background(maker: FeatureMaker, rng: np.random.Generator, n: int) -> Piece:
    features = maker(0.1 * make_background(rng, n, maker.sample_rate_hz))
    return Piece("synthetic background", "synthetic", features.astype(np.float16), np.full(len(features), QUIET, np.uint8))


def _intrusion(maker: FeatureMaker, rng: np.random.Generator, n: int, kind: str) -> Piece:
    features = maker(0.1 * unit_level(INTRUSIONS[kind](rng, n, maker.sample_rate_hz)))
    return Piece(f"synthetic {kind}", kind, features.astype(np.float16), np.full(len(features), QUIET, np.uint8))
