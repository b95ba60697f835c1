"""Read RIFF, RF64 and W64 headers as recorders really write them: unfinished, wrapped, cut short."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from detector.errors import AudioError

_TAG_PCM, _TAG_FLOAT, _TAG_ALAW, _TAG_ULAW, _TAG_EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_ENCODINGS = {
    (_TAG_PCM, 1): "PCM_U8",
    (_TAG_PCM, 2): "PCM_16",
    (_TAG_PCM, 3): "PCM_24",
    (_TAG_PCM, 4): "PCM_32",
    (_TAG_FLOAT, 4): "FLOAT",
    (_TAG_FLOAT, 8): "DOUBLE",
    (_TAG_ALAW, 1): "ALAW",
    (_TAG_ULAW, 1): "ULAW",
}
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
KEPT_CHUNKS = (b"LIST", b"guan", b"bext", b"wamd")
KEPT_BYTES = 1 << 16
_MOST_CHUNKS = 500
_NEVER_WRITTEN = 4096
"""Programs that stream put a length this close to 2**31 or 2**32 (or zero) when they do not know it yet."""


@dataclass(frozen=True, slots=True)
class WavLayout:
    """Where the samples of a WAV file lie and how they are coded.

    Attributes
    ----------
    container, encoding : str
        In libsndfile's words; encoding is "" for a codec that only libsndfile can decode.
    sample_rate_hz, channels, frame_bytes : int
    big_endian : bool
    data_offset, n_samples, promised_samples : int
    chunks : dict of str to bytes
        Raw text and metadata chunks for the clock: "guan", "LIST", "bext", "wamd"; the first of each, LIST only of kind INFO.
    """

    container: str
    encoding: str
    sample_rate_hz: int
    channels: int
    frame_bytes: int
    big_endian: bool
    data_offset: int
    n_samples: int
    promised_samples: int
    chunks: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Data:
    offset: int
    held: int
    promised: int


@dataclass(frozen=True, slots=True)
class _Format:
    encoding: str
    channels: int
    sample_rate_hz: int
    frame_bytes: int
    extensible: bool


def is_wav(head: bytes) -> bool:
    """Whether these first bytes (40 at least) announce one of the WAV family."""
    return (head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE") or head[:16] == _W64_RIFF


def read_wav_layout(fd: int, size_bytes: int) -> WavLayout:
    """Walk the chunks of an open WAV file.

    Raises
    ------
    AudioError
        If there is no usable format or data chunk.
    OSError
        If the file cannot be read.
    """
    head = os.pread(fd, 40, 0)
    w64 = head[:16] == _W64_RIFF
    order = ">" if head[:4] == b"RIFX" else "<"
    form: _Format | None = None
    data: _Data | None = None
    kept: dict[str, bytes] = {}
    for chunk in _walk_w64(fd, size_bytes) if w64 else _walk_riff(fd, size_bytes, order):
        if isinstance(chunk, _Data):
            data = chunk if data is None else data
        elif chunk.name == b"fmt " and form is None:
            form = _read_format(os.pread(fd, min(chunk.size, 64), chunk.offset), order)
        elif chunk.name in KEPT_CHUNKS and chunk.name.decode() not in kept:
            content = os.pread(fd, min(chunk.size, KEPT_BYTES), chunk.offset)
            if chunk.name != b"LIST" or content[:4] == b"INFO":
                kept[chunk.name.decode()] = content
    if form is None:
        raise AudioError("the header has no format chunk", "the recorder lost power before it wrote one; the sample rate is not known")
    if data is None:
        raise AudioError("the header has no data chunk", "the file ends inside its header; there is nothing to recover")
    plain = "WAVEX" if form.extensible else "WAV"
    return WavLayout(
        container="W64" if w64 else {b"RF64": "RF64", b"BW64": "RF64", b"RIFX": "RIFX"}.get(head[:4], plain),
        encoding=form.encoding,
        sample_rate_hz=form.sample_rate_hz,
        channels=form.channels,
        frame_bytes=form.frame_bytes,
        big_endian=order == ">",
        data_offset=data.offset,
        n_samples=data.held // form.frame_bytes,
        promised_samples=max(data.promised, data.held) // form.frame_bytes,
        chunks=kept,
    )


def _walk_riff(fd: int, size_bytes: int, order: str) -> Iterator[_Chunk | _Data]:
    """Chunks of a RIFF or RF64 file, the data chunk with its true extent."""
    at, wide = 12, None
    for _ in range(_MOST_CHUNKS):
        head = os.pread(fd, 8, at) if at < size_bytes else b""
        if len(head) < 8:
            return
        name, size = head[:4], int(struct.unpack(order + "I", head[4:])[0])
        if name == b"ds64" and size >= 16:
            wide = struct.unpack("<Q", os.pread(fd, 24, at)[16:].ljust(8, b"\0"))[0]
        if name == b"data":
            data = _riff_data(fd, at + 8, size if wide is None or size != 0xFFFFFFFF else wide, size_bytes, order)
            yield data
            size = data.held
        elif _plausible(name):
            yield _Chunk(name, at + 8, size)
        else:
            return
        at += 8 + size
        if size % 2 and not _plausible(os.pread(fd, 4, at)):
            at += 1  # chunks are padded to an even length, but not every writer does


def _riff_data(fd: int, offset: int, declared: int, size_bytes: int, order: str) -> _Data:
    rest = max(size_bytes - offset, 0)
    if declared == 0:
        following = os.pread(fd, 8, offset)
        if _plausible(following[:4]) and len(following) == 8 and offset + 8 + struct.unpack(order + "I", following[4:])[0] <= size_bytes:
            return _Data(offset, 0, 0)
        return _Data(offset, rest, rest)
    while declared + (1 << 32) <= rest:
        declared += 1 << 32  # plain WAV beyond 4 GiB: the length field has wrapped
    if declared <= rest:
        return _Data(offset, declared, declared)
    unknown = any(top - _NEVER_WRITTEN <= declared <= top for top in (1 << 31, 1 << 32, 1 << 63, 1 << 64))
    return _Data(offset, rest, rest if unknown else declared)


def _walk_w64(fd: int, size_bytes: int) -> Iterator[_Chunk | _Data]:
    """Chunks of a Sony Wave64 file: 16-byte names, 64-bit lengths that include the 24-byte head, 8-byte alignment."""
    at = 40
    for _ in range(_MOST_CHUNKS):
        head = os.pread(fd, 24, at) if at < size_bytes else b""
        if len(head) < 24:
            return
        name, size = head[:4], int(struct.unpack("<Q", head[16:])[0]) - 24
        if name == b"data" and head[4:16] == _W64_TAIL:
            rest = max(size_bytes - at - 24, 0)
            unknown = size <= 0 or size >= 1 << 60
            data = _Data(at + 24, rest if unknown else min(size, rest), rest if unknown else size)
            yield data
            size = data.held
        elif size < 0:
            return
        else:
            yield _Chunk(name, at + 24, size)
        at += (24 + size + 7) // 8 * 8


def _plausible(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _read_format(content: bytes, order: str) -> _Format:
    if len(content) < 16:
        raise AudioError(f"the format chunk has {len(content)} bytes, not 16", "the header is damaged")
    tag, channels, rate, _, align, bits = struct.unpack(order + "HHIIHH", content[:16])
    extensible = tag == _TAG_EXTENSIBLE
    if extensible:
        if len(content) < 26:
            raise AudioError("the extensible format chunk is cut short", "the header is damaged")
        tag = struct.unpack(order + "H", content[24:26])[0]
    if channels == 0:
        raise AudioError("the header says zero channels", "the header is damaged")
    width = -(-bits // 8)
    if align and align % channels == 0 and (tag, align // channels) in _ENCODINGS and align // channels >= width:
        width = align // channels  # such as 12 bits, left-justified in 16
    encoding = _ENCODINGS.get((tag, width), "")
    if not encoding and tag in (_TAG_PCM, _TAG_FLOAT):
        raise AudioError(f"samples of {bits} bits are not supported", "convert the file to 16, 24 or 32 bits")
    return _Format(encoding, channels, rate, width * channels if encoding else max(align, 1), extensible)
