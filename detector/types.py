"""The nouns that cross room borders. Positions are integer samples or frames of one segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
HalfArray: TypeAlias = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """Unbroken audio of one segment.

    Attributes
    ----------
    start_sample : int
        Index of ``samples[0]`` in the segment, at the rate of the stage that sends the block.
    samples : float32 (n,)
        Mono, full scale is 1.0.
    """

    start_sample: int
    samples: FloatArray


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that is missing. It ends the segment: no state, window or event crosses it.

    Attributes
    ----------
    start_sample : int
        First missing sample, counted in the segment that ends here.
    n_samples : int or None
        How many are missing; None when nobody can know.
    reason : str
        Short and constant, such as "non-finite samples"; it is counted in the effort ledger.
    """

    start_sample: int
    n_samples: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Scores that know their time: row i is frame ``start_frame + i`` of the segment.

    Attributes
    ----------
    start_frame : int
    logits : float32 (frames, classes)
    embeddings : float32 (frames, dims)
    """

    start_frame: int
    logits: FloatArray
    embeddings: FloatArray


@dataclass(frozen=True, slots=True)
class BandPower:
    """Mean power of the analysed audio in a few wide bands, on the grid of the scores.

    Attributes
    ----------
    start_frame : int
    power : float32 (frames, bands)
        Linear, relative to a full-scale sine (1.0).
    """

    start_frame: int
    power: FloatArray


@dataclass(frozen=True, slots=True)
class Event:
    """A candidate box. Its borders come from change points of the scores, never from a threshold.

    Attributes
    ----------
    head, label : str
    start_frame, end_frame : int
        Half open, in frames of the segment.
    logit_mean, logit_max, logit_top : float
        Over the box; ``logit_top`` is the mean of its highest tenth of frames.
    embedding : float16 (dims,)
        Mean of the frame embeddings over the box.
    linked : bool
        True when the box continues the one before it, which had reached the longest length.
    """

    head: str
    label: str
    start_frame: int
    end_frame: int
    logit_mean: float
    logit_max: float
    logit_top: float
    embedding: HalfArray
    linked: bool = False

    @property
    def confidence(self) -> float:
        """Logistic of the mean logit, 0 to 1. A score, not a probability, until calibrated."""
        return float(1.0 / (1.0 + np.exp(-self.logit_mean)))


class EffortState(str, Enum):
    """What happened to a span of audio."""

    ANALYSED = "analysed"
    LOST = "lost"
    PAUSED = "paused"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class EffortSpan:
    """One row of the ledger: what happened to ``n_samples`` of a segment from ``start_sample``.

    Attributes
    ----------
    state : EffortState
    start_sample : int
        At the source's own rate.
    n_samples : int or None
        None when the length of a loss cannot be known.
    reason : str
        Empty for audio that was simply analysed.
    count : int
        How many things the reason stands for, such as candidates beyond the rate cap; else 0.
    band_levels_db : float32 (bands,) or None
        Mean level per band in dB relative to a full-scale sine, for analysed spans (one minute at most).
    """

    state: EffortState
    start_sample: int
    n_samples: int | None
    reason: str = ""
    count: int = 0
    band_levels_db: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """A segment is over: everything before this belongs to it, what follows to the next one, which counts from 0.

    Attributes
    ----------
    n_samples : int
        Its length at the source's own rate; 0 when a gap followed on a gap.
    """

    n_samples: int


@dataclass(frozen=True, slots=True)
class StartTime:
    """When a recording began, and how that is known.

    Attributes
    ----------
    utc_ns : int or None
        None when only a local time without zone is known, or nothing at all.
    local : str or None
        Wall-clock time as the recorder wrote it, ISO 8601 without zone.
    utc_offset_s : int or None
    provenance : str
        "guano", "audiomoth comment", "wamd", "bext", "name: <pattern>", "config", "unknown" ...
    uncertainty_ns : int or None
    zone_provenance : str
        "header", "name", "config", "unknown".
    """

    utc_ns: int | None = None
    local: str | None = None
    utc_offset_s: int | None = None
    provenance: str = "unknown"
    uncertainty_ns: int | None = None
    zone_provenance: str = "unknown"


@dataclass(frozen=True, slots=True)
class Recording:
    """One audio file as its header, name and size describe it.

    Attributes
    ----------
    path : Path
        Absolute.
    size_bytes, mtime_ns : int
        As on disk when it was looked at; they decide whether it must be looked at again.
    container, encoding : str
        "WAV", "FLAC", ... and "PCM_16", "FLOAT", ... in libsndfile's words.
    sample_rate_hz, channels : int
    n_samples : int
        Frames that the file really holds.
    promised_samples : int
        Frames that its header promises; more than ``n_samples`` when the recorder lost power.
    start : StartTime
    recorder, device : str or None
        Make or model, and the identity that the device writes into its files.
    gapless : bool
        The recorder is known to continue in its next file without losing a sample.
    metadata : mapping of str to str
        Everything else worth keeping: gain, battery, temperature, firmware, position ...
    """

    path: Path
    size_bytes: int
    mtime_ns: int
    container: str
    encoding: str
    sample_rate_hz: int
    channels: int
    n_samples: int
    promised_samples: int
    start: StartTime
    recorder: str | None = None
    device: str | None = None
    gapless: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRecording:
    """A file that could not be used, and why."""

    path: Path
    size_bytes: int
    mtime_ns: int
    reason: str
    hint: str = ""
