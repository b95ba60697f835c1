"""Decode one recording block by block in its canonical sample type; what cannot be read is named, never dropped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from detector.audio.formats import Layout, canonical_type, open_codec, open_regular, read_layout
from detector.audio.wav import WavLayout
from detector.errors import AudioError
from detector.types import Recording

Samples: TypeAlias = npt.NDArray[Any]
"""int16, int32 or float32 (n, channels), full scale as the type has it."""

_BLOCK_VALUES = 1 << 16
_MOST_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """Samples of a recording that could not be read."""

    n_samples: int
    reason: str


class _Reader(Protocol):
    def read(self, start: int, n: int) -> Samples: ...
    def close(self) -> None: ...


def decode(recording: Recording) -> Iterator[Samples | Lost]:
    """Decode a recording from start to end, in blocks of a fixed size.

    The lengths of all blocks and losses add up to ``recording.n_samples``. A block that cannot be read is lost and the
    next one is tried; the rest is given up after three failures in a row, or when the file ends early.
    """
    n_samples = recording.n_samples
    try:
        reader = _open_reader(recording)
    except (AudioError, OSError, soundfile.SoundFileError) as error:
        yield Lost(n_samples, f"unreadable: {_short(error)}")
        return
    try:
        yield from _read_all(reader, n_samples, max(1, _BLOCK_VALUES // recording.channels))
    finally:
        reader.close()


def _read_all(reader: _Reader, n_samples: int, step: int) -> Iterator[Samples | Lost]:
    at, failures = 0, 0
    while at < n_samples:
        want = min(step, n_samples - at)
        try:
            block = reader.read(at, want)
        except (AudioError, OSError, soundfile.SoundFileError) as error:
            failures += 1
            lost = want if failures < _MOST_FAILURES else n_samples - at
            yield Lost(lost, f"unreadable: {_short(error)}")
            at += lost
            continue
        failures = 0
        if len(block):
            yield block
        at += len(block)
        if len(block) < want:
            yield Lost(n_samples - at, "unreadable: ends early")
            return


def _open_reader(recording: Recording) -> _Reader:
    status = os.stat(recording.path)
    if (status.st_size, status.st_mtime_ns) != (recording.size_bytes, recording.mtime_ns):
        raise AudioError("changed since it was looked at", "run again")
    layout = read_layout(recording.path)
    if layout.wav is not None:
        return _PlainReader(recording, layout.wav)
    return _CodecReader(recording, layout)


class _PlainReader:
    """Samples of a WAV file without a codec, straight from their place."""

    def __init__(self, recording: Recording, wav: WavLayout) -> None:
        self._fd = open_regular(recording.path)
        self._wav = wav
        order = ">" if wav.big_endian else "<"
        self._stored = np.dtype(
            {"PCM_16": order + "i2", "PCM_32": order + "i4", "FLOAT": order + "f4", "DOUBLE": order + "f8"}.get(wav.encoding, "u1")
        )

    def read(self, start: int, n: int) -> Samples:
        wav = self._wav
        raw = os.pread(self._fd, n * wav.frame_bytes, wav.data_offset + start * wav.frame_bytes)
        whole = len(raw) // wav.frame_bytes * wav.frame_bytes
        values = np.frombuffer(raw[:whole] if whole < len(raw) else raw, self._stored)
        return self._canonical(values).reshape(-1, wav.channels)

    def close(self) -> None:
        os.close(self._fd)

    def _canonical(self, values: Samples) -> Samples:
        encoding = self._wav.encoding
        if encoding == "PCM_U8":
            return (values.astype(np.int16) - 128) << 8
        if encoding == "ALAW":
            return _A_LAW[values]
        if encoding == "ULAW":
            return _MU_LAW[values]
        if encoding == "PCM_24":
            wide = np.zeros((len(values) // 3, 4), np.uint8)
            wide[:, 1:] = values.reshape(-1, 3)[:, :: -1 if self._wav.big_endian else 1]
            return wide.view("<i4").reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(canonical_type(encoding), copy=False)


class _CodecReader:
    """Samples of FLAC, OGG, MP3 and coded WAV through libsndfile."""

    def __init__(self, recording: Recording, layout: Layout) -> None:
        self._path = recording.path
        self._type = np.dtype(layout.canonical).name
        self._mp3 = layout.mp3
        self._file = open_codec(recording.path, layout.mp3)
        self._at = 0
        self._failed = False

    def read(self, start: int, n: int) -> Samples:
        if self._failed:  # a decoder that met an error is of no more use; a fresh one can start behind it
            self._file.close()
            self._file = open_codec(self._path, self._mp3)
            self._at, self._failed = 0, False
        self._failed = True
        if start != self._at:
            self._file.seek(start)
        block: Samples = self._file.read(n, dtype=self._type, always_2d=True)
        self._at, self._failed = start + len(block), False
        return block

    def close(self) -> None:
        self._file.close()


def _short(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string)
    if isinstance(error, AudioError):
        return error.message
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _a_law() -> Samples:
    """Decoding table of ITU-T G.711 A-law, scaled to 16 bits."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    linear = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 264) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, linear, -linear).astype(np.int16)


def _mu_law() -> Samples:
    """Decoding table of ITU-T G.711 mu-law, scaled to 16 bits."""
    code = ~np.arange(256) & 0xFF
    linear = ((((code & 15) << 3) + 132) << (code >> 4 & 7)) - 132
    return np.where(code & 0x80, -linear, linear).astype(np.int16)


_A_LAW, _MU_LAW = _a_law(), _mu_law()
