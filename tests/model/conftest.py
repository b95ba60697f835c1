"""Two untrained bundles: one with the numbers of the default bundle, one small with every number odd or unusual."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detector.model.architecture import EncoderNumbers, FrontendNumbers
from detector.model.bundle import Bundle
from detector.model.card import ClassCard, HeadCard
from detector.model.export import BundleFacts, export_bundle, random_bundle
from detector.model.student import Student, TorchHead

SMALL_FRONTEND = FrontendNumbers(
    window_samples=240, fft_samples=256, hop_samples=80, mel_bands=20, low_hz=100, high_hz=7000, floor_db=-100, mean_db=-50, std_db=15
)
SMALL_ENCODER = EncoderNumbers(
    stem_channels=8, stem_kernel=3, channels=16, expansion=2, kernel=3, dilations=(1, 3), mean_block_frames=4, mean_blocks=5, step_frames=16
)


def small_bundle(folder: Path) -> Bundle:
    """16 kHz, two heads, one of them with a hidden layer, labels in Finnish."""
    torch.manual_seed(1)
    student = Student(SMALL_FRONTEND, SMALL_ENCODER)
    dims = student.frame_dims
    birds = HeadCard(classes=(ClassCard(label="käki"), ClassCard(label='"töyhtö" hyyppä, poikanen')))
    heads = {"birds": birds, "any": HeadCard(hidden=5, classes=(ClassCard(label="animal"),))}
    facts = BundleFacts("small", "MIT", "untrained", "none", 16000, heads)
    return export_bundle(folder, student, {"birds": TorchHead(dims, 2), "any": TorchHead(dims, 1, 5)}, facts)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("models") / "default")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def copy_small(small: Bundle, tmp_path: Path) -> Callable[[], Path]:
    """A fresh copy of the small bundle, to be damaged."""

    def copy() -> Path:
        return Path(shutil.copytree(small.path, tmp_path / "copy", dirs_exist_ok=True))

    return copy
