"""The numbers of a bundle's ear, and everything that follows from them: delays, memory, size, work.

Time runs on two grids: feature frames (one per front-end hop, also the grid of the scores) and encoder
frames, two feature frames each. Encoder frame j stands for feature frames 2j and 2j + 1 and is centred on
the border between them. This module does no inference and imports neither torch nor onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

STRIDE = 2
"""Feature frames in one encoder frame."""

Positive = Annotated[int, Field(ge=1, le=100_000, strict=True)]
Array = TypeVar("Array")


class _Numbers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FrontendNumbers(_Numbers):
    """Log-mel features: Hann window, power, mel bands, dB, affine normalisation."""

    window_samples: Annotated[int, Field(ge=16, le=16384, strict=True)] = 480
    fft_samples: Annotated[int, Field(ge=16, le=16384, strict=True)] = 512
    hop_samples: Annotated[int, Field(ge=8, le=8192, strict=True)] = 160
    mel_bands: Annotated[int, Field(ge=8, le=512, strict=True)] = 64
    low_hz: float = Field(default=60.0, ge=0)
    high_hz: float = Field(default=15500.0, gt=0)
    floor_db: float = Field(default=-120.0, ge=-200, le=0)
    mean_db: float = Field(default=-60.0, ge=-200, le=200)
    std_db: float = Field(default=20.0, gt=0, le=200)

    @model_validator(mode="after")
    def _fits(self) -> FrontendNumbers:
        if self.window_samples > self.fft_samples:
            raise ValueError(f"window_samples {self.window_samples} is longer than fft_samples {self.fft_samples}")
        if self.hop_samples > self.window_samples:
            raise ValueError(f"hop_samples {self.hop_samples} is longer than window_samples {self.window_samples}: audio would be skipped")
        if (self.window_samples - self.hop_samples) % 2:
            raise ValueError("window_samples minus hop_samples must be even, so that a frame is centred on its hop")
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz} is not below high_hz {self.high_hz}")
        return self

    @property
    def context_samples(self) -> int:
        """Samples that a frame's window reaches beyond its own hop, on each side."""
        return (self.window_samples - self.hop_samples) // 2


class EncoderNumbers(_Numbers):
    """The student: stem, residual blocks, running mean, and the length of one step."""

    family: Literal["student"] = "student"
    stem_channels: Annotated[int, Field(ge=1, le=4096, strict=True)] = 64
    stem_kernel: Annotated[int, Field(ge=1, le=63, strict=True)] = 5
    channels: Annotated[int, Field(ge=1, le=4096, strict=True)] = 128
    expansion: Annotated[int, Field(ge=1, le=8, strict=True)] = 1
    kernel: Annotated[int, Field(ge=3, le=63, strict=True)] = 5
    dilations: tuple[Annotated[int, Field(ge=1, le=1024, strict=True)], ...] = (1, 2, 4, 8, 16, 1, 2, 4, 8)
    mean_block_frames: Annotated[int, Field(ge=2, le=1024, strict=True)] = 8
    mean_blocks: Annotated[int, Field(ge=2, le=4096, strict=True)] = 50
    step_frames: Annotated[int, Field(ge=2, le=65536, strict=True)] = 256

    @model_validator(mode="after")
    def _fits(self) -> EncoderNumbers:
        if self.stem_kernel % 2 == 0 or self.kernel % 2 == 0:
            raise ValueError("stem_kernel and kernel must be odd: convolutions are centred")
        if self.mean_block_frames % STRIDE:
            raise ValueError(f"mean_block_frames {self.mean_block_frames} must be even")
        if self.step_frames % self.mean_block_frames:
            raise ValueError(f"step_frames {self.step_frames} must be a multiple of mean_block_frames {self.mean_block_frames}")
        if not 1 <= len(self.dilations) <= 64:
            raise ValueError(f"{len(self.dilations)} dilations: between 1 and 64 residual blocks are possible")
        return self

    @property
    def frame_dims(self) -> int:
        """Width of an output frame: encoder frame beside fine frame of the stem."""
        return self.channels + self.stem_channels

    @property
    def block_reach(self) -> int:
        """Encoder frames that the residual blocks look to each side."""
        return (self.kernel - 1) // 2 * sum(self.dilations)

    @property
    def delay_frames(self) -> int:
        """Feature frames by which the output of a step lags its input; always even.

        The pair (2j, 2j + 1) needs fine frames up to 2j + 2 and those need (stem_kernel - 1) / 2 more features;
        an odd sum waits one frame longer, so that pairs stay pairs.
        """
        stem = (self.stem_kernel - 1) // 2 + 1
        return stem + stem % STRIDE + STRIDE * self.block_reach

    @property
    def fine_tail_frames(self) -> int:
        """Fine frames kept so that they leave the step together with their encoder frame."""
        return self.delay_frames - (self.stem_kernel - 1) // 2

    @property
    def look_ahead_frames(self) -> int:
        """Feature frames after a score frame that can change it: convolutions and the block of the running mean."""
        return self._convolution_reach + self.mean_block_frames - 1

    @property
    def look_back_frames(self) -> int:
        """Feature frames before a score frame that can change it; older audio is forgotten exactly."""
        return self._convolution_reach + self.mean_block_frames * self.mean_blocks - 1

    @property
    def _convolution_reach(self) -> int:
        """Feature frames to each side; one less where pairs and blocks of the mean, both even, cannot meet at their worst."""
        half = (self.stem_kernel - 1) // 2
        return half - half % 2 + 2 + STRIDE * self.block_reach


def look_ahead_samples(frontend: FrontendNumbers, encoder: EncoderNumbers) -> int:
    """Samples after the end of a score frame that can change it, all parts together."""
    return encoder.look_ahead_frames * frontend.hop_samples + frontend.context_samples


def input_channels(frontend: FrontendNumbers) -> int:
    """Channels that enter the stem: raw features, features minus their running mean, and validity."""
    return 2 * frontend.mel_bands + 1


def parameter_shapes(frontend: FrontendNumbers, encoder: EncoderNumbers) -> dict[str, tuple[int, ...]]:
    """Shape of every weight in encoder.safetensors, by name."""
    stem, wide = encoder.stem_channels, encoder.channels
    inner = wide * encoder.expansion
    shapes: dict[str, tuple[int, ...]] = {
        "stem_fine.weight": (stem, input_channels(frontend), encoder.stem_kernel),
        "stem_fine.bias": (stem,),
        "norm_fine.weight": (stem,),
        "norm_fine.bias": (stem,),
        "stem_coarse.weight": (wide, stem, 4),
        "stem_coarse.bias": (wide,),
        "norm_coarse.weight": (wide,),
        "norm_coarse.bias": (wide,),
        "norm_out.weight": (wide,),
        "norm_out.bias": (wide,),
    }
    block: dict[str, tuple[int, ...]] = {
        "depthwise.weight": (wide, 1, encoder.kernel),
        "depthwise.bias": (wide,),
        "norm.weight": (wide,),
        "norm.bias": (wide,),
        "widen.weight": (inner, wide),
        "widen.bias": (inner,),
        "narrow.weight": (wide, inner),
        "narrow.bias": (wide,),
    }
    return shapes | {f"blocks.{i}.{name}": shape for i in range(len(encoder.dilations)) for name, shape in block.items()}


def parameter_count(frontend: FrontendNumbers, encoder: EncoderNumbers) -> int:
    """Trainable numbers of the encoder; heads not counted."""
    return sum(prod(shape) for shape in parameter_shapes(frontend, encoder).values())


def head_shapes(frame_dims: int, hidden: int, n_classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of a head, by name."""
    sizes = (frame_dims, hidden, n_classes) if hidden else (frame_dims, n_classes)
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(len(sizes) - 1):
        shapes |= {f"layers.{i}.weight": (sizes[i + 1], sizes[i]), f"layers.{i}.bias": (sizes[i + 1],)}
    return shapes


def macs_per_second(frontend: FrontendNumbers, encoder: EncoderNumbers, sample_rate_hz: int) -> float:
    """Multiply-accumulates of the encoder's convolutions and matrices for one second of audio."""
    stem, wide = encoder.stem_channels, encoder.channels
    fine = input_channels(frontend) * encoder.stem_kernel * stem
    block = wide * encoder.kernel + 2 * wide * wide * encoder.expansion
    coarse = stem * 4 * wide + len(encoder.dilations) * block
    return (fine + coarse / STRIDE) * sample_rate_hz / frontend.hop_samples


@dataclass(frozen=True, slots=True)
class EncoderState(Generic[Array]):
    """Everything the encoder remembers between two steps; arrays of whichever library runs it.

    Attributes
    ----------
    mean_sums : (batch, mean_blocks - 1, mels)
        Sums of valid features over the past blocks of the running mean.
    mean_counts : (batch, mean_blocks - 1, 1)
        How many valid frames those sums hold.
    stem : (batch, stem_kernel - 1, 2 * mels + 1)
        Last inputs of the first stem convolution.
    fine : (batch, fine_tail_frames, stem_channels)
        Last fine frames, for the second stem convolution and for the output.
    blocks : one (batch, (kernel - 1) * dilation, channels) per residual block
        Last inputs of each depthwise convolution.
    """

    mean_sums: Array
    mean_counts: Array
    stem: Array
    fine: Array
    blocks: tuple[Array, ...]

    def named(self) -> dict[str, Array]:
        """The arrays under the names that the exported graph gives them, in the graph's order."""
        fixed = {"mean_sums": self.mean_sums, "mean_counts": self.mean_counts, "stem": self.stem, "fine": self.fine}
        return fixed | {f"block_{i}": block for i, block in enumerate(self.blocks)}

    @staticmethod
    def from_named(arrays: Mapping[str, Array]) -> EncoderState[Array]:
        """The reverse of `named`."""
        n_blocks = len(arrays) - 4
        return EncoderState(
            mean_sums=arrays["mean_sums"],
            mean_counts=arrays["mean_counts"],
            stem=arrays["stem"],
            fine=arrays["fine"],
            blocks=tuple(arrays[f"block_{i}"] for i in range(n_blocks)),
        )


def state_shapes(frontend: FrontendNumbers, encoder: EncoderNumbers, batch: int = 1) -> dict[str, tuple[int, int, int]]:
    """Shape of every array of the state, by name, in the graph's order."""
    past = encoder.mean_blocks - 1
    shapes = {
        "mean_sums": (batch, past, frontend.mel_bands),
        "mean_counts": (batch, past, 1),
        "stem": (batch, encoder.stem_kernel - 1, input_channels(frontend)),
        "fine": (batch, encoder.fine_tail_frames, encoder.stem_channels),
    }
    tails = {f"block_{i}": (batch, (encoder.kernel - 1) * d, encoder.channels) for i, d in enumerate(encoder.dilations)}
    return shapes | tails
