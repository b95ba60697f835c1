"""What kind of audio a file holds, judged by its first bytes and header, never by its extension."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from detector.audio.flac import read_flac_layout
from detector.audio.mp3 import Mp3File, Mp3Stream, measure_mp3
from detector.audio.wav import WavLayout, is_wav, read_wav_layout
from detector.errors import AudioError

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 2_000, 500_000
_MOST_CHANNELS = 1024
_MOST_SAMPLES_PER_BYTE = 8192
"""No codec packs more: Vorbis codes a block of silence of at most 8192 samples in a byte or two."""
_CANONICAL: Mapping[str, type[np.generic]] = {
    "PCM_U8": np.int16,
    "PCM_S8": np.int16,
    "PCM_16": np.int16,
    "ALAW": np.int16,
    "ULAW": np.int16,
    "IMA_ADPCM": np.int16,
    "MS_ADPCM": np.int16,
    "GSM610": np.int16,
    "PCM_24": np.int32,
    "PCM_32": np.int32,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A recording as its header and size describe it.

    Attributes
    ----------
    container, encoding : str
        In libsndfile's words.
    sample_rate_hz, channels, n_samples, promised_samples : int
    wav : WavLayout or None
        Set when the samples are plain and can be read without a codec.
    chunks : mapping of str to bytes
        Raw metadata chunks of a WAV file.
    comments : mapping of str to str
        Tags of FLAC, OGG and MP3, keys in lower case.
    mp3 : Mp3Stream or None
    """

    container: str
    encoding: str
    sample_rate_hz: int
    channels: int
    n_samples: int
    promised_samples: int
    wav: WavLayout | None = None
    chunks: Mapping[str, bytes] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    mp3: Mp3Stream | None = None

    @property
    def canonical(self) -> type[np.generic]:
        """Sample type that holds every value of this encoding: int16, int32 or float32."""
        return canonical_type(self.encoding)


def canonical_type(encoding: str) -> type[np.generic]:
    """Sample type that holds every value of an encoding, so that a WAV and its FLAC decode to the same numbers."""
    return _CANONICAL.get(encoding, np.float32)


def open_regular(path: Path) -> int:
    """Open a file for reading, without ever waiting for a pipe or device.

    Raises
    ------
    AudioError
        If it is not a regular file.
    OSError
        If it is not there or may not be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    kind = "a folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "not a regular file"
    os.close(fd)
    raise AudioError(f"it is {kind}", "give files that can be read from start to end")


def read_layout(path: Path) -> Layout:
    """Find out what a file holds, from its header.

    Raises
    ------
    AudioError
        If it is no recording, or one that cannot be used; the message does not repeat the path.
    OSError
        If it cannot be opened or read.
    """
    fd = open_regular(path)
    try:
        layout = _layout(fd, os.fstat(fd).st_size, path)
    finally:
        os.close(fd)
    if layout.channels > _MOST_CHANNELS or layout.channels < 1:
        raise AudioError(f"the header says {layout.channels} channels", "the header is damaged")
    if not LOWEST_RATE_HZ <= layout.sample_rate_hz <= HIGHEST_RATE_HZ:
        raise AudioError(
            f"the sample rate is {layout.sample_rate_hz} Hz, outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}",
            "the header is damaged, or the file holds no sound; correct the header or resample it",
        )
    if layout.n_samples < 1:
        raise AudioError("it holds no samples (0 s)", "the recorder stopped before it wrote any")
    return layout


def _layout(fd: int, size_bytes: int, path: Path) -> Layout:
    if size_bytes == 0:
        raise AudioError("the file is empty", "the recorder lost power or its card was full")
    head = os.pread(fd, 64, 0)
    if is_wav(head):
        return _wav(fd, size_bytes, path)
    offset = _after_id3(head)
    magic = os.pread(fd, 4, offset)
    if magic == b"fLaC":
        flac = read_flac_layout(fd, size_bytes, offset)
        encoding = "PCM_S8" if flac.bits <= 8 else "PCM_16" if flac.bits <= 16 else "PCM_24" if flac.bits <= 24 else "PCM_32"
        return Layout(
            "FLAC",
            encoding,
            flac.sample_rate_hz,
            flac.channels,
            flac.n_samples,
            flac.promised_samples,
            chunks=flac.chunks,
            comments=flac.comments,
        )
    if magic == b"OggS" or offset or (magic[:1] == b"\xff" and magic[1:2] and magic[1] & 0xE0 == 0xE0):
        return _by_libsndfile(path, fd, offset)
    if not any(head):
        raise AudioError("the header was never written (zeros)", "the recorder lost power; the sample rate is not known")
    raise AudioError("it is not a WAV, FLAC, OGG or MP3 file", "its extension is wrong, or it must be converted first")


def _wav(fd: int, size_bytes: int, path: Path) -> Layout:
    wav = read_wav_layout(fd, size_bytes)
    if wav.encoding:
        return Layout(
            wav.container, wav.encoding, wav.sample_rate_hz, wav.channels, wav.n_samples, wav.promised_samples, wav, wav.chunks
        )
    coded = _by_libsndfile(path, fd)
    return Layout(
        coded.container, coded.encoding, coded.sample_rate_hz, coded.channels, coded.n_samples, coded.n_samples, None, wav.chunks
    )


def _after_id3(head: bytes) -> int:
    """Offset behind an ID3v2 tag; 0 when there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + ((head[6] & 127) << 21 | (head[7] & 127) << 14 | (head[8] & 127) << 7 | head[9] & 127)


def open_codec(path: Path, mp3: Mp3Stream | None) -> soundfile.SoundFile:
    """Open a file for libsndfile to decode, front to back.

    Raises
    ------
    soundfile.SoundFileError
        If libsndfile refuses it.
    AudioError, OSError
        If it cannot be opened.
    """
    if mp3 is None or not mp3.prefix:
        return SequentialFile(os.fsencode(path))
    file = Mp3File(open_regular(path), mp3)
    try:
        return SequentialFile(file)
    except soundfile.SoundFileError:
        file.close()
        raise


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """soundfile seeks before and after every read of a seekable file; for MP3 that loses the bit reservoir and alters samples."""

    def seekable(self) -> bool:
        """Never, so that reading does not seek; an explicit seek still works."""
        return False

    def close(self) -> None:
        """Close the decoder, and the file that was opened for it."""
        super().close()
        if isinstance(self.name, Mp3File):
            self.name.close()


def _by_libsndfile(path: Path, fd: int, offset: int = 0) -> Layout:
    size_bytes = os.fstat(fd).st_size
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            comments = {key: value for key, value in file.copy_metadata().items() if value}
            layout = Layout(file.format, file.subtype, file.samplerate, file.channels, file.frames, file.frames, comments=comments)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"it cannot be decoded: {error.error_string}", "the file is damaged, or its codec is not supported") from error
    except (RuntimeError, UnicodeDecodeError) as error:
        raise AudioError(f"it cannot be decoded: {error}", "the file is damaged") from error
    if not 0 <= layout.n_samples <= size_bytes * _MOST_SAMPLES_PER_BYTE:
        raise AudioError(f"a length of {layout.n_samples} samples in {size_bytes} bytes", "the header is damaged")
    if layout.container != "MP3":
        return layout
    stream = measure_mp3(fd, size_bytes, offset, layout.n_samples)
    return replace(layout, n_samples=stream.n_samples, promised_samples=max(stream.n_samples, layout.n_samples), mp3=stream)
