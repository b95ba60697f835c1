"""Engines agree, keep no stream, and say so when they cannot be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from detector.errors import EngineError
from detector.model.bundle import Bundle, load_arrays
from detector.model.engine import Engine, make_engine
from detector.model.heads import Head
from detector.model.scorer import StreamingScorer
from detector.model.student import TorchHead
from detector.types import AudioBlock, FloatArray, FrameScores


def steps(bundle: Bundle, n: int, seed: int = 0) -> list[tuple[FloatArray, FloatArray]]:
    rng = np.random.default_rng(seed)
    shape = (bundle.card.encoder.step_frames, bundle.card.frontend.mel_bands)
    return [(rng.standard_normal(shape).astype(np.float32), np.ones(shape[0], np.float32)) for _ in range(n)]


def run(engine: Engine, inputs: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    state, out = engine.primed(), []
    for features, valid in inputs:
        frames, state = engine.step(features, valid, state)
        out.append(frames)
    return np.concatenate(out)


@pytest.mark.parametrize("which", ["bundle", "small"])
def test_onnx_and_torch_agree_to_a_thousandth(which: str, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(which)
    inputs = steps(bundle, 6)
    onnx, torch_cpu = make_engine(bundle, "onnx", "cpu"), make_engine(bundle, "torch", "cpu")
    np.testing.assert_allclose(run(onnx, inputs), run(torch_cpu, inputs), atol=1e-4, rtol=0)
    left: dict[str, Any] = onnx.primed().named()
    right: dict[str, Any] = torch_cpu.primed().named()
    for name, array in left.items():
        np.testing.assert_allclose(array, right[name].numpy(), atol=1e-5, rtol=0)


def test_a_bundle_gives_its_golden_scores_on_every_engine(bundle: Bundle, small: Bundle) -> None:
    for each in (bundle, small):
        golden = load_arrays(each, "golden.safetensors")
        for name in ("onnx", "torch"):
            scorer = StreamingScorer(each, make_engine(each, name, "cpu"))
            scored = [*scorer.push(AudioBlock(0, golden["audio"])), *scorer.flush()]
            scores = [item for item in scored if isinstance(item, FrameScores)]
            np.testing.assert_allclose(np.concatenate([item.logits for item in scores]), golden["logits"], atol=1e-3, rtol=0)
            np.testing.assert_allclose(np.concatenate([item.embeddings for item in scores]), golden["frames"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_a_step_changes_neither_its_input_nor_the_state_it_was_given(small: Bundle, name: str) -> None:
    engine = make_engine(small, name, "cpu")
    (features, valid), *_ = steps(small, 1)
    copy = features.copy()
    first, _ = engine.step(features, valid, engine.primed())
    again, _ = engine.step(features, valid, engine.primed())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(features, copy)


@pytest.mark.parametrize("hidden", [0, 7])
def test_numpy_and_torch_heads_are_equal(hidden: int) -> None:
    torch.manual_seed(0)
    head = TorchHead(24, 3, hidden)
    frames = torch.randn(50, 24)
    numpy_head = Head({name: tensor.detach().numpy() for name, tensor in head.state_dict().items()})
    np.testing.assert_allclose(numpy_head(frames.numpy()), head(frames).detach().numpy(), atol=1e-5, rtol=0)


def test_auto_on_a_processor_is_onnx(small: Bundle) -> None:
    for name, device in (("auto", "auto"), ("auto", "cpu"), ("onnx", "auto")):
        engine = make_engine(small, name, device)
        assert (engine.name, engine.device) == ("onnx", "cpu")
    engine = make_engine(small, "torch", "auto")
    assert (engine.name, engine.device) == ("torch", "cpu")


def test_cuda_that_is_not_there_is_an_error_and_never_a_silent_fallback(small: Bundle) -> None:
    with pytest.raises(EngineError, match="processor only"):
        make_engine(small, "onnx", "cuda")
    if torch.cuda.is_available():
        inputs = steps(small, 6)
        on_cuda = make_engine(small, "auto", "cuda")
        assert (on_cuda.name, on_cuda.device) == ("torch", "cuda")
        np.testing.assert_allclose(run(on_cuda, inputs), run(make_engine(small, "onnx", "cpu"), inputs), atol=1e-3, rtol=0)
    else:
        with pytest.raises(EngineError, match="device cuda cannot be had") as caught:
            make_engine(small, "auto", "cuda")
        assert "engine.device" in caught.value.hint


def test_features_of_a_wrong_shape_are_an_error_of_the_engine(small: Bundle) -> None:
    engine = make_engine(small, "onnx", "cpu")
    with pytest.raises(EngineError):
        engine.step(np.zeros((3, 20), np.float32), np.ones(3, np.float32), engine.primed())
