"""Frame targets from labels: spans, songs labelled as a whole, partly labelled recordings, and isolated calls by their level."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from detector.model.architecture import FrontendNumbers
from detector.train.corpus import CorpusFile
from detector.types import FloatArray

QUIET, CALL, IGNORED = 0, 1, 2
"""Frame targets."""

Targets = npt.NDArray[np.uint8]

_CALL_DB, _REST_DB = -18.0, -38.0
"""Of an isolated call, relative to its peak: above the first it calls, under the second it rests, between nobody knows."""
_HOLE_DB = -15.0
"""Quieter frames within the label of a whole song are ignored."""
_WHOLE_SONG_S = 1.0
_TIGHT_CLIP_S = 3.0
_NOISE_DB = -24.0
_SILENCE_DB = -95.0
_SHARE_OF_FRAME = 0.4


def span_targets(n_frames: int, hop_s: float, spans_s: Iterable[tuple[float, float]]) -> Targets:
    """Frames of which a span covers two fifths, and at least the middle frame of each span."""
    targets = np.zeros(n_frames, np.uint8)
    for start_s, end_s in spans_s:
        first = int(np.ceil(start_s / hop_s - (1 - _SHARE_OF_FRAME)))
        last = int(np.floor(end_s / hop_s + (1 - _SHARE_OF_FRAME)))
        if last <= first:
            first = int(0.5 * (start_s + end_s) / hop_s)
            last = first + 1
        targets[max(first, 0) : max(last, 0)] = CALL
    return targets


def annotated_targets(features: FloatArray, numbers: FrontendNumbers, hop_s: float, file: CorpusFile) -> Targets:
    """Targets of an annotated recording.

    Labels longer than a second that span quiet holes, such as a song labelled as one, are ignored in the holes. In recordings that are
    not completely labelled everything else is ignored, too, but for what is labelled as no animal.
    """
    n = len(features)
    calls = [one for one in file.annotations if one.animal]
    targets = span_targets(n, hop_s, ((one.start_s, one.end_s) for one in calls))
    if not file.complete:
        denied = span_targets(n, hop_s, ((one.start_s, one.end_s) for one in file.annotations if not one.animal))
        targets = np.where(targets == CALL, CALL, np.where(denied == CALL, QUIET, IGNORED)).astype(np.uint8)
    for one in calls:
        if one.end_s - one.start_s > _WHOLE_SONG_S:
            first, last = int(one.start_s / hop_s), int(one.end_s / hop_s) + 1
            level = level_db(features[first:last], numbers)
            targets[first:last][level < level.max() + _HOLE_DB] = IGNORED
    return targets


def isolated_targets(features: FloatArray, numbers: FrontendNumbers, hop_s: float) -> Targets | None:
    """Targets of a clip that holds one animal, by level.

    None for a clip that is neither short and cut tight around its call, nor clearly louder in the call than around it: labels by energy
    would be wrong there.
    """
    level = level_db(features, numbers)
    sounding = level[level > _SILENCE_DB]
    if not sounding.size:
        return None
    clear = float(np.percentile(sounding, 10)) < level.max() + _NOISE_DB
    if not clear and len(sounding) * hop_s > _TIGHT_CLIP_S:
        return None
    targets = np.full(len(level), IGNORED, np.uint8)
    targets[level > level.max() + _CALL_DB] = CALL
    targets[level < level.max() + _REST_DB] = QUIET
    return targets


def level_db(features: FloatArray, numbers: FrontendNumbers) -> FloatArray:
    """Loudness of frames in dB: the mean of the four loudest bands, (frames,)."""
    loudest = np.sort(features, axis=1)[:, -4:].mean(axis=1)
    return np.asarray(loudest * numbers.std_db + numbers.mean_db, dtype=np.float32)
