"""Synthetic scenes: the same seed gives the same sound, and the labels tell the truth."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from detector.errors import TrainingError
from detector.train.ambience import BACKGROUNDS, INTRUSIONS
from detector.train.calls import VOICES, make_bout
from detector.train.synthesis import band_power, demo_scene, random_scene


def test_the_same_seed_gives_the_same_scene_and_another_seed_another() -> None:
    first, again, other = (random_scene(seed, 16_000, 8.0) for seed in (5, 5, 6))
    assert np.array_equal(first.samples, again.samples)
    assert first.labels == again.labels
    assert not np.array_equal(first.samples, other.samples)


@pytest.mark.parametrize("kind", [*VOICES, "song"])
def test_every_kind_of_call_sounds_inside_its_labels_and_not_outside(kind: str) -> None:
    for seed in range(6):
        bout = make_bout(np.random.default_rng(seed), 32_000, kind)
        inside = np.zeros(len(bout.samples), dtype=bool)
        end_before = -1.0
        for start_s, end_s, low_hz, high_hz in bout.spans_s:
            assert end_before <= start_s < end_s
            assert 0.0 < low_hz < high_hz <= 16_000
            inside[int(start_s * 32_000) : int(np.ceil(end_s * 32_000))] = True
            end_before = end_s
        power = bout.samples**2
        assert power[inside].sum() > 0.97 * power.sum()
        if (~inside).any():
            assert power[inside].mean() > 10.0 * power[~inside].mean()


def test_a_planted_call_is_as_loud_as_its_label_says() -> None:
    loud = quiet = 0
    for seed in range(8):
        scene = random_scene(seed, 32_000, 12.0, n_bouts=1, snr_db=(20.0, 20.0), intrusions=0)
        label = max(scene.labels, key=lambda one: one.end_s - one.start_s)
        inside = scene.samples[int(label.start_s * 32_000) : int(label.end_s * 32_000)].astype(float)
        outside = np.concatenate(
            [scene.samples[: int(scene.labels[0].start_s * 32_000)], scene.samples[int((scene.labels[-1].end_s + 0.4) * 32_000) :]]
        ).astype(float)
        if len(outside) < 32_000 or len(inside) < 640:
            continue
        ratio = band_power(inside, 32_000, label.low_hz, label.high_hz) / band_power(outside, 32_000, label.low_hz, label.high_hz)
        loud += ratio > 10.0
        quiet += ratio <= 10.0
    assert loud >= 4
    assert quiet <= 1


def test_the_demonstration_has_twenty_to_forty_calls_of_many_kinds_over_its_whole_length() -> None:
    scene = demo_scene(1, 16_000)
    assert len(scene.samples) == 180 * 16_000
    assert 20 <= len(scene.labels) <= 40
    assert len({label.kind for label in scene.labels}) >= 10
    assert scene.labels[0].start_s < 15.0
    assert scene.labels[-1].end_s > 160.0
    assert all(before.end_s <= after.start_s for before, after in zip(scene.labels, scene.labels[1:], strict=False))
    assert np.abs(scene.samples).max() == pytest.approx(10 ** (-3 / 20), rel=1e-3)


@pytest.mark.parametrize("rate", [2_000, 8_000, 44_100, 250_000])
def test_scenes_can_be_made_at_any_rate_a_recorder_has(rate: int) -> None:
    scene = random_scene(3, rate, 2.0, n_bouts=2)
    assert len(scene.samples) == 2 * rate
    assert np.isfinite(scene.samples).all()
    assert all(0.0 <= label.start_s < label.end_s <= 2.0 for label in scene.labels)


@pytest.mark.parametrize("name", [*BACKGROUNDS, *INTRUSIONS])
def test_every_background_has_unit_level_and_no_label(name: str) -> None:
    samples = {**BACKGROUNDS, **INTRUSIONS}[name](np.random.default_rng(2), 40_000, 16_000)
    assert len(samples) == 40_000
    assert 0.3 < np.sqrt(np.mean(samples**2)) < 3.0


@pytest.mark.parametrize(
    ("rate", "duration_s", "bouts"), [(1_000, 5.0, 1), (600_000, 5.0, 1), (32_000, 0.5, 1), (32_000, float("nan"), 1), (32_000, 5.0, -1)]
)
def test_a_scene_that_cannot_be_is_refused_with_the_value(rate: int, duration_s: float, bouts: int) -> None:
    with pytest.raises(TrainingError) as caught:
        random_scene(0, rate, duration_s, bouts)
    assert caught.value.hint


def test_scenes_need_neither_torch_nor_scipy() -> None:
    code = "import sys, detector.train.synthesis; print([name for name in ('torch', 'scipy', 'soundfile') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
