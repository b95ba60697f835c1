"""Audio in, scores and band power out: the student with explicit state; each sample goes through it once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from detector.errors import AudioError
from detector.model.architecture import EncoderState
from detector.model.bundle import Bundle, load_arrays
from detector.model.card import head_file
from detector.model.engine import Engine
from detector.model.frontend import LogMel
from detector.model.heads import Head
from detector.types import AudioBlock, BandPower, FrameScores, Gap

Scored: TypeAlias = FrameScores | BandPower | Gap


class StreamingScorer:
    """Scores of one stream at the bundle's rate.

    The audio is cut into steps of ``step_frames`` hops, counted from the segment's start, whatever the sizes of the
    blocks: the same audio gives the same bits. A segment of n samples has ceil(n / hop) frames; the end of a segment
    is extended by pad frames, never by silence, and a gap ends a segment.

    Parameters
    ----------
    bundle : Bundle
    engine : Engine

    Attributes
    ----------
    grid_hop_samples : int
        Samples in a frame of the scores.
    analysis_rate_hz : int
    heads : tuple of str
        Head of each column of the logits.
    labels : tuple of str
        Class of each column of the logits.
    """

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        card = bundle.card
        self.grid_hop_samples = card.frame_hop_samples
        self.analysis_rate_hz = card.sample_rate_hz
        self.heads = tuple(head for head, _ in card.columns)
        self.labels = tuple(entry.label for _, entry in card.columns)
        self._engine = engine
        self._heads = [Head(load_arrays(bundle, head_file(name))) for name in card.heads]
        self._context = card.frontend.context_samples
        self._step_frames = card.encoder.step_frames
        self._delay = card.encoder.delay_frames
        self._log_mel = LogMel(card.frontend, card.sample_rate_hz, self._step_frames)
        self._audio = np.zeros(self._log_mel.n_samples, np.float32)
        self._ones = np.ones(self._step_frames, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the segment; what it still held is lost."""
        self._audio[:] = 0
        self._filled = self._context
        self._n_samples = 0
        self._next_frame = 0
        self._state: EncoderState[Any] = self._engine.primed()

    def push(self, item: AudioBlock | Gap) -> list[Scored]:
        """Take what follows; a gap gives what is left of its segment, then itself.

        Raises
        ------
        AudioError
            If a block does not begin where the one before it ended.
        """
        if isinstance(item, Gap):
            return [*self.flush(), item]
        if item.start_sample != self._n_samples:
            raise AudioError(
                f"a block begins at sample {item.start_sample}, the one before it ended at {self._n_samples}",
                "audio that is missing must be announced as a gap",
            )
        out: list[Scored] = []
        samples = item.samples
        self._n_samples += samples.shape[0]
        taken = 0
        while taken < samples.shape[0]:
            n = min(self._audio.shape[0] - self._filled, samples.shape[0] - taken)
            self._audio[self._filled : self._filled + n] = samples[taken : taken + n]
            self._filled += n
            taken += n
            if self._filled == self._audio.shape[0]:
                out += self._step(self._step_frames)
        return out

    def flush(self) -> list[Scored]:
        """End of the segment: its last frames. The next block is the first of a new segment."""
        out: list[Scored] = []
        n_frames = -(-self._n_samples // self.grid_hop_samples)
        while self._next_frame - self._delay < n_frames and n_frames:
            self._audio[self._filled :] = 0
            out += self._step(min(max(n_frames - self._next_frame, 0), self._step_frames), n_frames)
        self.reset()
        return out

    def _step(self, n_valid: int, n_frames: int | None = None) -> list[Scored]:
        """One step over the buffered audio, of which the first ``n_valid`` frames are real; ``n_frames`` once the end is known."""
        features, power = self._log_mel(self._audio)
        valid = self._ones
        if n_valid < self._step_frames:
            features[n_valid:] = 0
            valid = np.zeros_like(self._ones)
            valid[:n_valid] = 1
        frames, self._state = self._engine.step(features, valid, self._state)
        logits = np.concatenate([head(frames) for head in self._heads], axis=1)
        kept = 2 * self._context
        self._audio[:kept] = self._audio[-kept:]
        self._filled = kept
        out: list[Scored] = []
        if n_valid:
            out.append(BandPower(self._next_frame, power[:n_valid]))
        start = self._next_frame - self._delay
        first = max(-start, 0)
        last = self._step_frames if n_frames is None else min(self._step_frames, n_frames - start)
        if first < last:
            out.append(FrameScores(start + first, logits[first:last], frames[first:last]))
        self._next_frame += self._step_frames
        return out
