"""The student: a small convolutional encoder that hears each sample once. Network code, torch.

For training::

    student = Student(FrontendNumbers(), EncoderNumbers())
    frames = student(features, valid)
        features : float32 (batch, frames, mel_bands)   from `TorchLogMel(frontend, rate_hz)(audio)`
        valid    : float32 (batch, frames)              1 real, 0 pad or missing
        frames   : float32 (batch, frames, frame_dims)  any number of frames; one score frame per feature frame
    logits = TorchHead(student.frame_dims, n_classes)(frames)      # (batch, frames, n_classes)

``forward`` treats each row as a whole segment (constant pad frames on both sides, as at run time); it is the
same ``step`` that runs in the field, over a long input. Shapes are written (batch, time, channels) throughout.

Depthwise dilated convolution with two pointwise layers after: Bai et al. 2018 (arXiv 1803.01271) for dilated
temporal convolution, Liu et al. 2022 (arXiv 2201.03545) for the block.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from detector.errors import EngineError
from detector.model.architecture import STRIDE, EncoderNumbers, EncoderState, FrontendNumbers, input_channels, state_shapes
from detector.model.frontend import mel_matrix, window
from detector.types import FloatArray


class Block(nn.Module):
    """Residual block: depthwise dilated convolution, LayerNorm over channels, two pointwise layers."""

    def __init__(self, channels: int, expansion: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.tail = (kernel - 1) * dilation
        self.depthwise = nn.Conv1d(channels, channels, kernel, dilation=dilation, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, channels * expansion)
        self.narrow = nn.Linear(channels * expansion, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Valid in time: (batch, tail + n, channels) -> (batch, n, channels)."""
        centre = x[:, self.tail // 2 : x.shape[1] - self.tail // 2]
        y = self.narrow(F.gelu(self.widen(self.norm(self._convolve(x)))))
        out: Tensor = centre + y
        return out

    def _convolve(self, x: Tensor) -> Tensor:
        """The depthwise convolution as a 2-D one of height 1: ONNX Runtime has a vectorised kernel for exactly this form."""
        layer = self.depthwise
        x = x.unsqueeze(1).permute(0, 3, 1, 2)
        y = F.conv2d(x, layer.weight.unsqueeze(2), layer.bias, dilation=(1, layer.dilation[0]), groups=layer.groups)
        return y.permute(0, 2, 3, 1).squeeze(1)


class Student(nn.Module):
    """Features in, frames for the heads out; see the module's first lines.

    Parameters
    ----------
    frontend : FrontendNumbers
    encoder : EncoderNumbers
    """

    def __init__(self, frontend: FrontendNumbers, encoder: EncoderNumbers) -> None:
        super().__init__()
        self.frontend_numbers = frontend
        self.numbers = encoder
        self.frame_dims = encoder.frame_dims
        self.stem_fine = nn.Conv1d(input_channels(frontend), encoder.stem_channels, encoder.stem_kernel)
        self.norm_fine = nn.LayerNorm(encoder.stem_channels)
        self.stem_coarse = nn.Conv1d(encoder.stem_channels, encoder.channels, 4, stride=STRIDE)
        self.norm_coarse = nn.LayerNorm(encoder.channels)
        self.blocks = nn.ModuleList(Block(encoder.channels, encoder.expansion, encoder.kernel, d) for d in encoder.dilations)
        self.norm_out = nn.LayerNorm(encoder.channels)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Frames of whole segments.

        Parameters
        ----------
        features : float32 (batch, n, mel_bands)
        valid : float32 (batch, n)

        Returns
        -------
        float32 (batch, n, frame_dims)
        """
        n, delay = features.shape[1], self.numbers.delay_frames
        padding = delay + -(n + delay) % self.numbers.mean_block_frames
        features = F.pad(features, (0, 0, 0, padding))
        valid = F.pad(valid, (0, padding))
        frames, _ = self.step(features, valid, self.primed_state(features.shape[0]))
        return frames[:, delay : delay + n]

    def step(self, features: Tensor, valid: Tensor, state: EncoderState[Tensor]) -> tuple[Tensor, EncoderState[Tensor]]:
        """The next frames of a stream; output frame i is `numbers.delay_frames` older than input frame i.

        Parameters
        ----------
        features : float32 (batch, n, mel_bands)
            n a multiple of ``mean_block_frames``.
        valid : float32 (batch, n)
        state : EncoderState

        Returns
        -------
        frames : float32 (batch, n, frame_dims)
        state : EncoderState
        """
        n = features.shape[1]
        x, mean_sums, mean_counts = self._normalise(features, valid.unsqueeze(2), state)
        x = torch.cat((state.stem, x), 1)
        fine = torch.cat((state.fine, self._fine(x)), 1)
        # the four taps begin at an odd fine frame, 2j - 1: 2 or 3 rows back, by the delay of the first convolution
        reach = 3 if (self.numbers.stem_kernel - 1) // 2 % 2 == 0 else 2
        h = self._coarse(fine[:, fine.shape[1] - n - reach :])
        tails = []
        for block, tail in zip(self.blocks, state.blocks, strict=True):
            h = torch.cat((tail, h), 1)
            tails.append(h[:, h.shape[1] - tail.shape[1] :])
            h = block(h)
        h = self.norm_out(h).unsqueeze(2).expand(-1, -1, STRIDE, -1).reshape(h.shape[0], n, -1)
        frames = torch.cat((h, fine[:, :n]), 2)
        after = EncoderState(
            mean_sums=mean_sums,
            mean_counts=mean_counts,
            stem=x[:, x.shape[1] - state.stem.shape[1] :],
            fine=fine[:, n:],
            blocks=tuple(tails),
        )
        return frames, after

    def primed_state(self, batch: int) -> EncoderState[Tensor]:
        """The state after endless pad frames: where every segment starts.

        Pad frames are constant in time, so each layer needs one frame of them; differentiable.
        """
        shapes = state_shapes(self.frontend_numbers, self.numbers, batch)
        weight = self.stem_fine.weight
        stem = weight.new_zeros(shapes["stem"])
        fine = self._fine(weight.new_zeros(batch, self.numbers.stem_kernel, stem.shape[2]))
        h = self._coarse(fine.expand(-1, 4, -1))
        tails = []
        for block, dilation in zip(self.blocks, self.numbers.dilations, strict=True):
            tail = (self.numbers.kernel - 1) * dilation
            tails.append(h.expand(-1, tail, -1))
            h = block(h.expand(-1, tail + 1, -1))
        return EncoderState(
            mean_sums=weight.new_zeros(shapes["mean_sums"]),
            mean_counts=weight.new_zeros(shapes["mean_counts"]),
            stem=stem,
            fine=fine.expand(-1, self.numbers.fine_tail_frames, -1),
            blocks=tuple(tails),
        )

    def _normalise(self, features: Tensor, valid: Tensor, state: EncoderState[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Raw features, features minus the running mean of valid frames, and validity, side by side."""
        batch, n, mels = features.shape
        size, blocks = self.numbers.mean_block_frames, self.numbers.mean_blocks
        features = features * valid
        sums = torch.cat((state.mean_sums, features.reshape(batch, n // size, size, mels).sum(2)), 1)
        counts = torch.cat((state.mean_counts, valid.reshape(batch, n // size, size, 1).sum(2)), 1)
        window = features.new_ones(1, 1, blocks, 1)
        total = F.conv2d(sums.unsqueeze(1), window).squeeze(1)
        count = F.conv2d(counts.unsqueeze(1), window).squeeze(1)
        mean = (total / count.clamp(min=0.5)).unsqueeze(2).expand(-1, -1, size, -1).reshape(batch, n, mels)
        joined = torch.cat((features, (features - mean) * valid, valid), 2)
        return joined, sums[:, n // size :], counts[:, n // size :]

    def _fine(self, x: Tensor) -> Tensor:
        out: Tensor = F.gelu(self.norm_fine(_over_time(self.stem_fine, x)))
        return out

    def _coarse(self, x: Tensor) -> Tensor:
        out: Tensor = F.gelu(self.norm_coarse(_over_time(self.stem_coarse, x)))
        return out


class TorchHead(nn.Module):
    """A head in training: one matrix, or two with ReLU between when ``hidden`` is above 0; `heads.Head` is its numpy twin."""

    def __init__(self, frame_dims: int, n_classes: int, hidden: int = 0) -> None:
        super().__init__()
        sizes = (frame_dims, hidden, n_classes) if hidden else (frame_dims, n_classes)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, frames: Tensor) -> Tensor:
        """(..., frame_dims) -> logits (..., n_classes)."""
        for i, layer in enumerate(self.layers):
            frames = layer(F.relu(frames) if i else frames)
        return frames


class TorchLogMel(nn.Module):
    """The features of `frontend.LogMel` for training, on any device.

    Parameters
    ----------
    numbers : FrontendNumbers
    sample_rate_hz : int
    """

    window: Tensor
    mel: Tensor

    def __init__(self, numbers: FrontendNumbers, sample_rate_hz: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.register_buffer("window", torch.from_numpy(window(numbers)))
        self.register_buffer("mel", torch.from_numpy(mel_matrix(numbers, sample_rate_hz)))

    def forward(self, audio: Tensor) -> Tensor:
        """Features of whole segments: (batch, n) -> (batch, ceil(n / hop), mel_bands)."""
        return self.normalise(self.power(audio))

    def power(self, audio: Tensor) -> Tensor:
        """Linear calibrated power in mel bands, where scenes may be mixed: (batch, n) -> (batch, ceil(n / hop), mel_bands)."""
        numbers = self.numbers
        padded = F.pad(audio, (numbers.context_samples, numbers.context_samples + -audio.shape[1] % numbers.hop_samples))
        frames = padded.unfold(1, numbers.window_samples, numbers.hop_samples) * self.window
        spectrum = torch.fft.rfft(frames, n=numbers.fft_samples)
        out: Tensor = (spectrum.real.square() + spectrum.imag.square()) @ self.mel
        return out

    def normalise(self, power: Tensor) -> Tensor:
        """Power to dB, then (dB - mean_db) / std_db."""
        numbers = self.numbers
        decibels = 10 * torch.log10(power.clamp(min=10 ** (numbers.floor_db / 10)))
        out: Tensor = (decibels - numbers.mean_db) / numbers.std_db
        return out


class TorchEngine:
    """The student as an `engine.Engine`, in float32.

    Parameters
    ----------
    frontend : FrontendNumbers
    encoder : EncoderNumbers
    weights : mapping of str to float32 array
        As in encoder.safetensors.
    device : str
        "cpu" or "cuda".

    Raises
    ------
    EngineError
        If the device cannot be had.
    """

    name = "torch"

    def __init__(self, frontend: FrontendNumbers, encoder: EncoderNumbers, weights: Mapping[str, FloatArray], device: str) -> None:
        if device == "cuda":
            if not torch.cuda.is_available():
                raise EngineError("device cuda cannot be had: torch finds no usable GPU", "check nvidia-smi, or set engine.device to cpu")
            _exact_float32()
        self.device = device
        student = Student(frontend, encoder)
        student.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        self._student = student.to(device).eval().requires_grad_(False)
        with torch.inference_mode():
            self._primed = self._student.primed_state(1)

    def primed(self) -> EncoderState[Any]:
        """See `engine.Engine`."""
        return self._primed

    def step(self, features: FloatArray, valid: FloatArray, state: EncoderState[Any]) -> tuple[FloatArray, EncoderState[Any]]:
        """See `engine.Engine`."""
        try:
            with torch.inference_mode():
                x = torch.from_numpy(features[None]).to(self.device)
                frames, after = self._student.step(x, torch.from_numpy(valid[None]).to(self.device), state)
                out: FloatArray = frames[0].cpu().numpy()
        except RuntimeError as error:
            raise EngineError(f"torch failed on {self.device}: {error}", "run `detector doctor`") from error
        return out, after


def _exact_float32() -> None:
    """Full float32 on CUDA: TF32 keeps 10 bits of mantissa, and engines would differ by more than 1e-3."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.fp32_precision = "ieee"
    else:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def _over_time(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution along time of (batch, time, channels)."""
    out: Tensor = layer(x.transpose(1, 2)).transpose(1, 2)
    return out
