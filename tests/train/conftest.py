"""Small recipes and the shared recordings for the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.train.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    folder = ROOT.parent / "shared" / "audio"
    assert folder.is_dir(), f"{folder} holds the recordings that these tests read"
    return folder


@pytest.fixture(scope="session")
def default_recipe() -> Recipe:
    return load_recipe(ROOT / "models" / "default" / "recipe.yaml")


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """A network and amounts so small that twenty steps take seconds; no recordings."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "licence": "MIT",
            "provenance": "a test",
            "sample_rate_hz": 16_000,
            "frontend": {"window_samples": 320, "fft_samples": 512, "hop_samples": 160, "mel_bands": 24, "high_hz": 7_500.0},
            "encoder": {
                "stem_channels": 16,
                "channels": 16,
                "dilations": [1, 2, 4],
                "mean_block_frames": 8,
                "mean_blocks": 10,
                "step_frames": 64,
            },
            "data": {"permitted_licences": ["CC0"]},
            "synthesis": {"bouts": 24, "backgrounds": 4, "intrusions": 4, "background_s": 4.0},
            "mixing": {"crop_s": 3.0, "snr_db": [10.0, 30.0], "bouts": [1, 2], "low_pass": 0.0},
            "fit": {"steps": 40, "batch": 4, "learning_rate": 0.004, "warmup_steps": 5, "judge_every": 10, "bf16": False},
        }
    )
