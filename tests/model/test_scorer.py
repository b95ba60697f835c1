"""The same audio gives the same scores: any block size, any neighbour, stream or offline."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import AudioError
from detector.model.bundle import Bundle, load_arrays
from detector.model.engine import make_engine
from detector.model.scorer import Scored, StreamingScorer
from detector.model.student import Student, TorchHead, TorchLogMel
from detector.types import AudioBlock, BandPower, FloatArray, FrameScores, Gap


def noise(n: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(n) * np.exp(rng.standard_normal(n // 500 + 1).repeat(500)[:n]) * 0.05).astype(np.float32)


def score(scorer: StreamingScorer, audio: FloatArray, cuts: Sequence[int] = ()) -> list[Scored]:
    """One segment, cut where it is told."""
    borders = [0, *sorted(min(cut, len(audio)) for cut in cuts), len(audio)]
    out: list[Scored] = []
    for start, end in itertools.pairwise(borders):
        out += scorer.push(AudioBlock(start, audio[start:end]))
    return out + scorer.flush()


def table(items: Sequence[Scored]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Logits, embeddings and band power of one segment; that they follow each other is checked on the way."""
    scores = [item for item in items if isinstance(item, FrameScores)]
    powers = [item for item in items if isinstance(item, BandPower)]
    for parts, lengths in ((scores, [len(item.logits) for item in scores]), (powers, [len(item.power) for item in powers])):
        assert [part.start_frame for part in parts] == [sum(lengths[:i]) for i in range(len(parts))]
    return (
        np.concatenate([item.logits for item in scores]),
        np.concatenate([item.embeddings for item in scores]),
        np.concatenate([item.power for item in powers]),
    )


def tensors(bundle: Bundle, name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(array.copy()) for key, array in load_arrays(bundle, name).items()}


def offline_logits(bundle: Bundle, audio: FloatArray) -> FloatArray:
    """The trained path: torch front end, the whole segment at once, torch heads."""
    card = bundle.card
    student = Student(card.frontend, card.encoder).eval()
    student.load_state_dict(tensors(bundle, "encoder.safetensors"))
    logits = []
    with torch.no_grad():
        features = TorchLogMel(card.frontend, card.sample_rate_hz)(torch.from_numpy(audio)[None])
        frames = student(features, torch.ones(features.shape[:2]))
        for name, facts in card.heads.items():
            head = TorchHead(student.frame_dims, len(facts.classes), facts.hidden)
            head.load_state_dict(tensors(bundle, f"heads/{name}.safetensors"))
            logits.append(head(frames)[0])
    return torch.cat(logits, 1).numpy()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 9000), cuts=st.lists(st.integers(0, 9000), max_size=30))
def test_no_division_into_blocks_changes_a_bit(small: Bundle, n: int, cuts: list[int]) -> None:
    scorer = StreamingScorer(small, make_engine(small, "onnx", "cpu"))
    whole, pieces = table(score(scorer, noise(n))), table(score(scorer, noise(n), cuts))
    for expected, found in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [len(part) for part in whole] == [-(-n // 80)] * 3


@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, 130_000), max_size=12))
def test_no_division_into_blocks_changes_a_bit_in_the_default_shape(bundle: Bundle, cuts: list[int]) -> None:
    scorer = StreamingScorer(bundle, make_engine(bundle, "onnx", "cpu"))
    audio = noise(130_003)
    for expected, found in zip(table(score(scorer, audio)), table(score(scorer, audio, cuts)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_one_sample_at_a_time_is_the_same_too(small: Bundle) -> None:
    scorer = StreamingScorer(small, make_engine(small))
    audio = noise(3001)
    for expected, found in zip(table(score(scorer, audio)), table(score(scorer, audio, range(3001))), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("n", [1, 160, 5000, 40_960, 41_120, 100_001])
def test_streaming_equals_offline_from_the_first_frame_to_the_last(bundle: Bundle, engine: str, n: int) -> None:
    audio = noise(n, seed=n)
    logits, _, _ = table(score(StreamingScorer(bundle, make_engine(bundle, engine, "cpu")), audio))
    np.testing.assert_allclose(logits, offline_logits(bundle, audio), atol=1e-5, rtol=0)


def test_a_gap_ends_a_segment_and_the_next_one_starts_fresh(bundle: Bundle) -> None:
    scorer = StreamingScorer(bundle, make_engine(bundle))
    first, second = noise(50_000, 1), noise(60_001, 2)
    gap = Gap(50_000, 123, "lost")
    out = [*scorer.push(AudioBlock(0, first)), *scorer.push(gap)]
    assert out[-1] is gap
    for audio, found in ((first, out[:-1]), (second, score(scorer, second))):
        alone = score(StreamingScorer(bundle, make_engine(bundle)), audio)
        for left, right in zip(table(found), table(alone), strict=True):
            np.testing.assert_array_equal(left, right)
        np.testing.assert_allclose(table(found)[0], offline_logits(bundle, audio), atol=1e-5, rtol=0)


def test_two_streams_share_an_engine_and_nothing_else(small: Bundle) -> None:
    engine = make_engine(small)
    left, right = StreamingScorer(small, engine), StreamingScorer(small, engine)
    a, b = noise(8000, 1), noise(8000, 2)
    mixed: tuple[list[Scored], list[Scored]] = ([], [])
    for start in range(0, 8000, 400):
        mixed[0].extend(left.push(AudioBlock(start, a[start : start + 400])))
        mixed[1].extend(right.push(AudioBlock(start, b[start : start + 400])))
    for scorer, parts, audio in ((left, mixed[0], a), (right, mixed[1], b)):
        np.testing.assert_array_equal(table([*parts, *scorer.flush()])[0], table(score(StreamingScorer(small, engine), audio))[0])


def test_what_was_sent_does_not_change_afterwards(small: Bundle) -> None:
    scorer = StreamingScorer(small, make_engine(small))
    sent = scorer.push(AudioBlock(0, noise(6000)))
    before = [part.copy() for part in table(sent)]
    scorer.push(AudioBlock(6000, noise(6000, 9)))
    for expected, found in zip(before, table(sent), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_empty_segment_has_no_frames(small: Bundle) -> None:
    scorer = StreamingScorer(small, make_engine(small))
    assert scorer.flush() == []
    assert scorer.push(AudioBlock(0, noise(0))) == []
    gap = Gap(0, None, "lost")
    assert scorer.push(gap) == [gap]


def test_columns_are_named_by_head_and_label(small: Bundle) -> None:
    scorer = StreamingScorer(small, make_engine(small))
    assert scorer.heads == ("birds", "birds", "any")
    assert scorer.labels == ("käki", '"töyhtö" hyyppä, poikanen', "animal")
    assert (scorer.grid_hop_samples, scorer.analysis_rate_hz) == (80, 16000)
    logits, embeddings, power = table(score(scorer, noise(1000)))
    assert logits.dtype == embeddings.dtype == power.dtype == np.float32
    assert (logits.shape, embeddings.shape, power.shape) == ((13, 3), (13, 24), (13, 8))


def test_audio_that_does_not_follow_is_refused(small: Bundle) -> None:
    scorer = StreamingScorer(small, make_engine(small))
    scorer.push(AudioBlock(0, noise(100)))
    with pytest.raises(AudioError, match="begins at sample 150, the one before it ended at 100"):
        scorer.push(AudioBlock(150, noise(100)))


def test_scoring_needs_no_torch() -> None:
    code = "import sys, detector.model.scorer; sys.exit(any(name in sys.modules for name in ('torch', 'onnx', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
