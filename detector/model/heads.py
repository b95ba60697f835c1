"""Heads: from frames of the encoder to logits, in numpy. A new head needs no export of the encoder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detector.types import FloatArray


class Head:
    """One matrix, or two with ReLU between.

    Parameters
    ----------
    weights : mapping of str to float32
        ``layers.<i>.weight`` (out, in) and ``layers.<i>.bias`` (out,), as `architecture.head_shapes` names them.
    """

    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        n_layers = len(weights) // 2
        self._layers = [(np.ascontiguousarray(weights[f"layers.{i}.weight"].T), weights[f"layers.{i}.bias"]) for i in range(n_layers)]

    def __call__(self, frames: FloatArray) -> FloatArray:
        """(n, frame_dims) -> logits (n, classes)."""
        for i, (weight, bias) in enumerate(self._layers):
            if i:
                frames = np.maximum(frames, 0)
            frames = frames @ weight + bias
        return frames
