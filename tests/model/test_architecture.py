"""What follows from the numbers is what the network really does."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from detector.model.architecture import (
    EncoderNumbers,
    FrontendNumbers,
    look_ahead_samples,
    macs_per_second,
    parameter_count,
    parameter_shapes,
)
from detector.model.student import Student

SHAPES = [
    pytest.param(EncoderNumbers(), id="default"),
    pytest.param(EncoderNumbers(stem_kernel=3, kernel=3, dilations=(1, 4), stem_channels=8, channels=12, expansion=2), id="odd stem reach"),
    pytest.param(EncoderNumbers(stem_kernel=1, kernel=3, dilations=(1,), mean_block_frames=2, step_frames=2), id="little context"),
    pytest.param(EncoderNumbers(stem_kernel=7, kernel=7, dilations=(2, 2), mean_blocks=2, channels=16), id="wide kernels"),
]


def test_the_default_student_keeps_its_budget() -> None:
    frontend, encoder = FrontendNumbers(), EncoderNumbers()
    assert parameter_count(frontend, encoder) == 381_312 <= 2.5e6
    assert macs_per_second(frontend, encoder, 32000) == pytest.approx(41.6e6)
    assert 41.6e6 <= 0.14e9
    assert look_ahead_samples(frontend, encoder) / 32000 == pytest.approx(0.98)
    assert 0.98 <= 1


@pytest.mark.parametrize("encoder", SHAPES)
def test_weights_have_the_shapes_that_the_numbers_give(encoder: EncoderNumbers) -> None:
    frontend = FrontendNumbers()
    student = Student(frontend, encoder)
    assert {name: tuple(tensor.shape) for name, tensor in student.state_dict().items()} == parameter_shapes(frontend, encoder)
    assert sum(parameter.numel() for parameter in student.parameters()) == parameter_count(frontend, encoder)


@pytest.mark.parametrize("encoder", SHAPES)
def test_a_frame_hears_as_far_as_the_numbers_say_and_no_further(encoder: EncoderNumbers) -> None:
    torch.manual_seed(0)
    student = Student(FrontendNumbers(), encoder).double().eval()
    ahead, back = encoder.look_ahead_frames, encoder.look_back_frames
    n = 2 * (ahead + back) + 64
    features, valid = torch.randn(1, n, 64, dtype=torch.float64), torch.ones(1, n, dtype=torch.float64)
    with torch.no_grad():
        before = student(features, valid)
        heard = []
        for at in range(n // 2, n // 2 + 2 * encoder.mean_block_frames):
            changed = features.clone()
            changed[0, at] += 10
            frames = (student(changed, valid) != before)[0].any(1).nonzero()
            heard.append((at - int(frames.min()), int(frames.max()) - at))
    assert max(ahead for ahead, _ in heard) == ahead
    assert max(back for _, back in heard) == back


@pytest.mark.parametrize(
    "wrong",
    [
        {"stem_kernel": 4},
        {"kernel": 2},
        {"mean_block_frames": 7},
        {"step_frames": 100},
        {"dilations": ()},
        {"channels": True},
        {"channels": 64.0},
        {"family": "hubert"},
    ],
)
def test_numbers_that_fit_no_network_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EncoderNumbers.model_validate(wrong)


@pytest.mark.parametrize("wrong", [{"window_samples": 600}, {"hop_samples": 500}, {"hop_samples": 161}, {"low_hz": 16000}])
def test_a_front_end_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FrontendNumbers.model_validate(wrong)
