"""Writing recordings: 16-bit WAV or FLAC, with GUANO metadata in a WAV."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import soundfile

from detector.errors import AudioError
from detector.types import FloatArray

FULL_SCALE = 32767
CONTAINERS = {".wav": "WAV", ".flac": "FLAC"}


def write_recording(path: Path, blocks: Iterable[FloatArray], sample_rate_hz: int, guano: Mapping[str, str] | None = None) -> None:
    """Write mono audio as 16-bit WAV or FLAC, by the ending of the name.

    Parameters
    ----------
    path : Path
    blocks : iterable of float32 (n,)
        Full scale is 1.0; what lies beyond it is clipped.
    sample_rate_hz : int
    guano : mapping of str to str, optional
        Fields of the GUANO chunk, such as {"Timestamp": "2026-05-01T20:30:00+03:00"}; WAV only.

    Raises
    ------
    AudioError
        If the ending is neither .wav nor .flac, or the file cannot be written.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None or (guano is not None and container != "WAV"):
        raise AudioError(f"cannot write {path.name} with what was asked for", "use .wav, or .flac without metadata")
    try:
        with soundfile.SoundFile(path, "w", sample_rate_hz, 1, "PCM_16", format=container) as file:
            for block in blocks:
                file.write(np.rint(np.clip(block, -1.0, 1.0) * FULL_SCALE).astype(np.int16))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot write {path}: {error}", "check the folder and the free space of its disk") from error
    if guano is not None:
        _append_guano(path, guano)


def _append_guano(path: Path, fields: Mapping[str, str]) -> None:
    """Add a `guan` chunk behind the audio and correct the length in the RIFF header (GUANO 1.0 specification)."""
    text = "GUANO|Version: 1.0\n" + "".join(f"{key}: {value}\n" for key, value in fields.items())
    payload = text.encode("utf-8")
    payload += b"\n" * (len(payload) % 2)
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"guan" + struct.pack("<I", len(payload)) + payload)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
