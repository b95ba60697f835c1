"""Engines: what runs the encoder's step. ONNX Runtime lives here, torch in `student`."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime as ort

from detector.errors import BundleError, EngineError
from detector.model.architecture import STRIDE, EncoderState, state_shapes
from detector.model.bundle import Bundle, load_arrays, read_weights
from detector.model.card import ENCODER_FILE, STEP_FILE
from detector.types import FloatArray

EngineName = Literal["auto", "onnx", "torch"]
DeviceName = Literal["auto", "cpu", "cuda"]
_TORCH_HINT = "install the extra: pip install 'field-detector[torch]', or set engine.name to onnx"


class Engine(Protocol):
    """Runs steps of one bundle. It keeps no stream: one engine serves many, each with its own state.

    Attributes
    ----------
    name, device : str
    """

    name: str
    device: str

    def primed(self) -> EncoderState[Any]:
        """The state after endless pad frames, where every segment starts."""

    def step(self, features: FloatArray, valid: FloatArray, state: EncoderState[Any]) -> tuple[FloatArray, EncoderState[Any]]:
        """The next ``step_frames`` frames of a stream.

        Parameters
        ----------
        features : float32 (step_frames, mel_bands)
        valid : float32 (step_frames,)
            1 for frames of the recording, 0 for pad frames, whose features are 0.
        state : EncoderState
            From `primed` or the step before; it is not changed.

        Returns
        -------
        frames : float32 (step_frames, frame_dims)
            Frame i is ``delay_frames`` older than feature frame i.
        state : EncoderState
        """


class OnnxEngine:
    """The exported step graph on one processor thread.

    Raises
    ------
    BundleError
        If the graph cannot be read, or its inputs and outputs are not those of the card.
    """

    name = "onnx"
    device = "cpu"

    def __init__(self, bundle: Bundle) -> None:
        self._numbers = bundle.card.encoder
        self._mels = bundle.card.frontend.mel_bands
        self._shapes = state_shapes(bundle.card.frontend, self._numbers)
        graph = read_weights(bundle.path, bundle.card, STEP_FILE)
        if b"location" in graph:  # the key under which ONNX names a file that holds weights
            raise BundleError(f"{bundle.path / STEP_FILE} refers to files outside itself", "export the bundle again as one graph")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        try:
            # the fused kernel of Add and LayerNormalization is not vectorised: five times slower than the two apart
            self._session = ort.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
            )
        except Exception as error:  # the runtime's errors share no base class
            raise BundleError(f"{bundle.path / STEP_FILE} cannot be run: {error}", "copy the bundle again from where it came") from error
        self._check_graph(bundle)
        self._outputs = ["frames", *(f"next_{name}" for name in self._shapes)]
        self._primed = self._prime()

    def primed(self) -> EncoderState[Any]:
        return self._primed

    def step(self, features: FloatArray, valid: FloatArray, state: EncoderState[Any]) -> tuple[FloatArray, EncoderState[Any]]:
        feed = {"features": features[None], "valid": valid[None]} | state.named()
        try:
            frames, *after = self._session.run(self._outputs, feed)
        except Exception as error:  # the runtime's errors share no base class
            raise EngineError(f"onnxruntime failed: {error}", "run `detector models verify` and `detector doctor`") from error
        return frames[0], EncoderState.from_named(dict(zip(self._shapes, after, strict=True)))

    def _prime(self) -> EncoderState[Any]:
        state: EncoderState[Any] = EncoderState.from_named({name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()})
        features = np.zeros((self._numbers.step_frames, self._mels), np.float32)
        valid = np.zeros(self._numbers.step_frames, np.float32)
        memory = 2 * self._numbers.delay_frames + STRIDE
        for _ in range(-(-memory // self._numbers.step_frames) + 1):
            _, state = self.step(features, valid, state)
        return state

    def _check_graph(self, bundle: Bundle) -> None:
        n = self._numbers.step_frames
        inputs = {"features": (1, n, self._mels), "valid": (1, n)} | self._shapes
        outputs = {"frames": (1, n, self._numbers.frame_dims)} | {f"next_{name}": shape for name, shape in self._shapes.items()}
        for kind, entries, expected in (
            ("inputs", self._session.get_inputs(), inputs),
            ("outputs", self._session.get_outputs(), outputs),
        ):
            found = {entry.name: tuple(entry.shape) for entry in entries}
            if found != expected:
                wrong = next(name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name))
                raise BundleError(
                    f"{bundle.path / STEP_FILE}: {kind} {wrong!r} has shape {found.get(wrong)}, the card says {expected.get(wrong)}",
                    "card and graph belong to different bundles; copy both again",
                )


def make_engine(bundle: Bundle, name: EngineName = "auto", device: DeviceName = "auto") -> Engine:
    """The engine that was asked for, or the best that is there.

    ``auto`` is onnx on the processor; torch when the device is cuda. A device that is named is never replaced by another.

    Raises
    ------
    EngineError
        If an engine or device that was named cannot be had.
    """
    if name == "onnx" and device == "cuda":
        raise EngineError("engine onnx runs on the processor only", "for device cuda set engine.name to torch or auto")
    if name == "torch" or device == "cuda":
        try:
            from detector.model.student import TorchEngine
        except ImportError as error:
            raise EngineError(f"engine torch cannot be had: {error}", _TORCH_HINT) from error
        weights = load_arrays(bundle, ENCODER_FILE)
        return TorchEngine(bundle.card.frontend, bundle.card.encoder, weights, "cpu" if device == "auto" else device)
    return OnnxEngine(bundle)
