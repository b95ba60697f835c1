"""Log-mel features and band power from audio, in numpy. The torch twin for training is in `student`.

Power is calibrated: the bands of a full-scale sine add up to 1.0 (0 dB). The mel scale is that of O'Shaughnessy
(2595 log10(1 + f / 700)); a triangle is integrated over the width of each frequency bin instead of sampled at its
centre, so that bands narrower than a bin are not empty and neighbouring bands still add up to 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from detector.model.architecture import FrontendNumbers
from detector.types import FloatArray

WIDE_BANDS = 8
"""Bands of `BandPower`: neighbouring mel bands in groups as equal as can be."""


def mel_points_hz(numbers: FrontendNumbers) -> npt.NDArray[np.float64]:
    """Corners of the triangles: band i rises from point i to i + 1 and falls to i + 2; (mel_bands + 2,)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (numbers.low_hz, numbers.high_hz))
    return 700 * (10 ** (np.linspace(low, high, numbers.mel_bands + 2) / 2595) - 1)


def window(numbers: FrontendNumbers) -> FloatArray:
    """Periodic Hann window, (window_samples,)."""
    phase = 2 * np.pi * np.arange(numbers.window_samples) / numbers.window_samples
    hann: FloatArray = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return hann


def mel_matrix(numbers: FrontendNumbers, sample_rate_hz: int) -> FloatArray:
    """From the squared spectrum of a windowed frame to calibrated power in mel bands, (bins, mel_bands)."""
    bins = numbers.fft_samples // 2 + 1
    width = sample_rate_hz / numbers.fft_samples
    borders = (np.arange(bins + 1) - 0.5) * width
    points = mel_points_hz(numbers)
    left, centre, right = points[:-2], points[1:-1], points[2:]
    rise = np.clip(borders[:, None], left, centre) - left
    fall = right - np.clip(borders[:, None], centre, right)
    area = rise**2 / (2 * (centre - left)) + (right - centre) / 2 - fall**2 / (2 * (right - centre))
    energy = np.sum(window(numbers).astype(np.float64) ** 2)
    weights = np.diff(area, axis=0) / width * 4 / (numbers.fft_samples * energy)
    matrix: FloatArray = weights.astype(np.float32)
    return matrix


def band_groups(numbers: FrontendNumbers) -> npt.NDArray[np.int64]:
    """First mel band of each wide band, (WIDE_BANDS,)."""
    return np.arange(WIDE_BANDS) * numbers.mel_bands // WIDE_BANDS


def band_edges_hz(numbers: FrontendNumbers) -> npt.NDArray[np.float64]:
    """Borders of the wide bands, (WIDE_BANDS + 1,): where the triangles of neighbouring groups cross, and the outer ends."""
    points = mel_points_hz(numbers)
    inner = (points[band_groups(numbers)[1:]] + points[band_groups(numbers)[1:] + 1]) / 2
    return np.concatenate((points[:1], inner, points[-1:]))


class LogMel:
    """Features of a fixed number of frames; the same shape every time, so the same audio gives the same bits.

    Parameters
    ----------
    numbers : FrontendNumbers
    sample_rate_hz : int
    n_frames : int
        Frames in one call.

    Attributes
    ----------
    n_samples : int
        Samples that one call takes: ``n_frames`` hops and the context on both sides.
    """

    def __init__(self, numbers: FrontendNumbers, sample_rate_hz: int, n_frames: int) -> None:
        self.n_samples = n_frames * numbers.hop_samples + 2 * numbers.context_samples
        self._hop = numbers.hop_samples
        self._window = window(numbers)
        self._mel = mel_matrix(numbers, sample_rate_hz)
        self._groups = band_groups(numbers)
        self._floor = np.float32(10 ** (numbers.floor_db / 10))
        self._scale = np.float32(10 / np.log(10) / numbers.std_db)
        self._offset = np.float32(-numbers.mean_db / numbers.std_db)
        self._frames = np.zeros((n_frames, numbers.fft_samples), np.float32)
        self._square = np.empty((n_frames, self._mel.shape[0]), np.float32)
        self._power = np.empty((n_frames, self._mel.shape[0]), np.float32)
        self._bands = np.empty((n_frames, numbers.mel_bands), np.float32)

    def __call__(self, audio: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Features and wide-band power of frames 0 to n_frames - 1.

        Parameters
        ----------
        audio : float32 (n_samples,)
            Frame i is centred on its hop: its window begins at ``audio[i * hop]``.

        Returns
        -------
        features : float32 (n_frames, mel_bands)
            Overwritten by the next call.
        power : float32 (n_frames, WIDE_BANDS)
            Linear, relative to a full-scale sine.
        """
        windows = sliding_window_view(audio, self._window.shape[0])[:: self._hop]
        np.multiply(windows, self._window, out=self._frames[:, : self._window.shape[0]])
        spectrum = np.fft.rfft(self._frames, axis=1)
        np.multiply(spectrum.real, spectrum.real, out=self._power, casting="same_kind")
        np.multiply(spectrum.imag, spectrum.imag, out=self._square, casting="same_kind")
        np.add(self._power, self._square, out=self._power)
        bands = np.matmul(self._power, self._mel, out=self._bands)
        power = np.add.reduceat(bands, self._groups, axis=1)
        np.maximum(bands, self._floor, out=bands)
        np.log(bands, out=bands)
        np.multiply(bands, self._scale, out=bands)
        return np.add(bands, self._offset, out=bands), power
