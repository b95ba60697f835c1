"""One network, two ways to run it: whole segments and a stream. They may not differ, anywhere."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detector.model.architecture import EncoderNumbers, EncoderState, FrontendNumbers, state_shapes
from detector.model.student import Student, TorchHead
from tests.model.conftest import SMALL_ENCODER, SMALL_FRONTEND

DEFAULT = EncoderNumbers()


def student(encoder: EncoderNumbers = SMALL_ENCODER, frontend: FrontendNumbers = SMALL_FRONTEND, seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return Student(frontend, encoder).eval().requires_grad_(False)


def sound(n: int, mels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, n, mels, generator=generator), torch.ones(1, n)


def stream(net: Student, features: Tensor, valid: Tensor, step: int) -> Tensor:
    """All frames of one segment, step by step."""
    n, delay = features.shape[1], net.numbers.delay_frames
    padding = delay + -(n + delay) % step
    features, valid = F.pad(features, (0, 0, 0, padding)), F.pad(valid, (0, padding))
    state, parts = net.primed_state(features.shape[0]), []
    for start in range(0, features.shape[1], step):
        frames, state = net.step(features[:, start : start + step], valid[:, start : start + step], state)
        parts.append(frames)
    return torch.cat(parts, 1)[:, delay : delay + n]


def offline(net: Student, features: Tensor) -> Tensor:
    """The network written a second time, without state: valid convolutions over features with pad frames on both sides."""
    numbers, n = net.numbers, features.shape[1]
    size, mels = numbers.mean_block_frames, features.shape[2]
    blocks = torch.stack([part.sum(0) for part in features[0].split(size)])
    counts = torch.tensor([float(len(part)) for part in features[0].split(size)])
    pad = numbers.delay_frames + 4
    pad += pad % 2
    x = torch.zeros(n + n % 2 + 2 * pad, 2 * mels + 1)
    for i in range(n):
        low, high = max(i // size - numbers.mean_blocks + 1, 0), i // size + 1
        mean = blocks[low:high].sum(0) / counts[low:high].sum()
        x[pad + i] = torch.cat((features[0, i], features[0, i] - mean, torch.ones(1)))
    half = (numbers.stem_kernel - 1) // 2
    fine = F.gelu(net.norm_fine(net.stem_fine(x.T[None]).transpose(1, 2)))  # row i is frame i - pad + half
    first = 2 * ((half + 1) // 2) + 1 - half  # row of an odd frame: 2j - 1
    h = F.gelu(net.norm_coarse(net.stem_coarse(fine[:, first:].transpose(1, 2)).transpose(1, 2)))
    at = (first - pad + half + 1) // 2  # encoder frame of row 0
    for block in net.blocks:
        h = block(h)
        at += block.tail // 2
    h = net.norm_out(h)[:, -at:].repeat_interleave(2, 1)[:, :n]
    return torch.cat((h, fine[:, pad - half : pad - half + n]), 2)


@pytest.mark.parametrize("n", [1, 2, 7, 16, 17, 150])
@pytest.mark.parametrize("stem_kernel", [1, 3, 5, 7])
def test_a_segment_in_one_go_equals_the_network_written_without_state(n: int, stem_kernel: int) -> None:
    net = student(SMALL_ENCODER.model_copy(update={"stem_kernel": stem_kernel}))
    features, valid = sound(n, 20)
    torch.testing.assert_close(net(features, valid), offline(net, features), atol=1e-5, rtol=0)


def test_the_default_student_streams_as_it_hears_offline() -> None:
    net = student(DEFAULT, FrontendNumbers())
    features, valid = sound(701, 64)
    whole = offline(net, features)
    torch.testing.assert_close(net(features, valid), whole, atol=1e-5, rtol=0)
    for step in (8, 128, 256):
        torch.testing.assert_close(stream(net, features, valid, step), whole, atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 200), blocks=st.integers(1, 12), seed=st.integers(0, 5))
def test_the_length_of_a_step_changes_nothing(n: int, blocks: int, seed: int) -> None:
    net = student()
    features, valid = sound(n, 20, seed)
    torch.testing.assert_close(stream(net, features, valid, 4 * blocks), net(features, valid), atol=1e-5, rtol=0)


def test_the_primed_state_is_the_one_after_many_pad_frames() -> None:
    net = student(DEFAULT, FrontendNumbers())
    state = EncoderState.from_named({name: torch.randn(shape) for name, shape in state_shapes(net.frontend_numbers, DEFAULT).items()})
    for _ in range(5):
        _, state = net.step(torch.zeros(1, 256, 64), torch.zeros(1, 256), state)
    for name, expected in net.primed_state(1).named().items():
        torch.testing.assert_close(state.named()[name], expected, atol=1e-5, rtol=0)


def test_rows_of_a_batch_do_not_hear_each_other() -> None:
    net = student()
    features = torch.cat([sound(60, 20, seed)[0] for seed in range(3)])
    valid = torch.ones(3, 60)
    valid[1, 40:] = 0
    together = net(features, valid)
    for row in range(3):
        torch.testing.assert_close(together[row], net(features[row : row + 1], valid[row : row + 1])[0], atol=1e-5, rtol=0)


def test_a_crop_padded_to_the_length_of_its_batch_equals_the_crop_alone() -> None:
    net = student()
    features, valid = sound(60, 20)
    valid[0, 41:] = 0
    torch.testing.assert_close(net(features, valid)[:, :41], net(features[:, :41], valid[:, :41]), atol=1e-5, rtol=0)


def test_a_level_that_stays_leaves_the_second_copy_of_the_features() -> None:
    net = student()
    features, valid = sound(200, 20)
    louder = net(features + 3, valid)
    net.stem_fine.weight[:, :20] = 0
    torch.testing.assert_close(net(features + 3, valid), net(features, valid), atol=1e-4, rtol=0)
    assert (louder - net(features, valid)).abs().max() > 0.1


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    net, head = Student(SMALL_FRONTEND, SMALL_ENCODER), TorchHead(24, 2, 3)
    features, valid = sound(64, 20)
    head(net(features, valid)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_names_of_the_state_survive_the_way_there_and_back() -> None:
    shapes = state_shapes(SMALL_FRONTEND, SMALL_ENCODER)
    state = EncoderState.from_named(shapes)
    assert list(state.named()) == ["mean_sums", "mean_counts", "stem", "fine", "block_0", "block_1"]
    assert state.named() == shapes
