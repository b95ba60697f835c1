"""Does a bundle still give the scores that it gave when it was made?"""

from __future__ import annotations

import numpy as np

from detector.errors import BundleError
from detector.model.bundle import Bundle, load_arrays
from detector.model.card import GOLDEN_FILE
from detector.model.engine import Engine
from detector.model.scorer import StreamingScorer
from detector.types import AudioBlock, FrameScores

TOLERANCE = 1e-3
"""Largest difference in logits between engines that counts as equal."""


def golden_difference(bundle: Bundle, engine: Engine) -> float | None:
    """Largest difference in logits from the golden scores of the bundle.

    Returns
    -------
    float or None
        None when the bundle carries no golden scores.

    Raises
    ------
    BundleError
        If the difference is above `TOLERANCE`, or the scores do not fit the golden ones at all.
    """
    if GOLDEN_FILE not in bundle.card.weights:
        return None
    golden = load_arrays(bundle, GOLDEN_FILE)
    scorer = StreamingScorer(bundle, engine)
    scored = scorer.push(AudioBlock(0, golden["audio"])) + scorer.flush()
    logits = np.concatenate([item.logits for item in scored if isinstance(item, FrameScores)])
    if logits.shape != golden["logits"].shape:
        raise BundleError(f"scores have shape {logits.shape}, golden ones {golden['logits'].shape}", "copy the bundle again")
    difference = float(np.abs(logits - golden["logits"]).max())
    if not difference <= TOLERANCE:
        raise BundleError(
            f"logits differ by {difference:.2g} from the golden ones, {TOLERANCE:g} is allowed",
            "this machine or its onnxruntime computes wrongly: try another version, or another engine",
        )
    return difference
