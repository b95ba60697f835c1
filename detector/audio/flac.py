"""Read FLAC headers, and find in the last kilobytes where the audio really ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from detector.audio.wav import KEPT_BYTES, KEPT_CHUNKS
from detector.errors import AudioError

_LONGEST_COMMENTS = 1 << 18
_TAIL_BYTES = 1 << 18
_MOST_BLOCKS = 200


@dataclass(frozen=True, slots=True)
class FlacLayout:
    """What a FLAC file says about itself.

    Attributes
    ----------
    sample_rate_hz, channels, bits : int
    n_samples, promised_samples : int
    comments : dict of str to str
        Vorbis comments, keys in lower case; repeated keys are joined with "; ".
    chunks : dict of str to bytes
        RIFF chunks of the WAV file that this once was, where the encoder kept them.
    """

    sample_rate_hz: int
    channels: int
    bits: int
    n_samples: int
    promised_samples: int
    comments: dict[str, str] = field(default_factory=dict)
    chunks: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _StreamInfo:
    smallest_block: int
    largest_block: int
    largest_frame: int
    sample_rate_hz: int
    channels: int
    bits: int
    total: int


def read_flac_layout(fd: int, size_bytes: int, offset: int = 0) -> FlacLayout:
    """Read the metadata blocks of an open FLAC file whose "fLaC" is at ``offset``.

    Raises
    ------
    AudioError
        If the stream information is missing or no audio follows.
    OSError
        If the file cannot be read.
    """
    info: _StreamInfo | None = None
    comments: dict[str, str] = {}
    chunks: dict[str, bytes] = {}
    at = offset + 4
    for _ in range(_MOST_BLOCKS):
        head = os.pread(fd, 4, at)
        if len(head) < 4:
            break
        kind, size = head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if kind == 0 and info is None:
            info = _stream_info(os.pread(fd, 34, at + 4))
        elif kind == 4 and not comments:
            comments = parse_vorbis_comments(os.pread(fd, min(size, _LONGEST_COMMENTS), at + 4))
        elif kind == 2 and size > 12:
            kept = os.pread(fd, min(size, KEPT_BYTES), at + 4)
            if kept[:4] == b"riff" and kept[4:8] in KEPT_CHUNKS and (kept[4:8] != b"LIST" or kept[12:16] == b"INFO"):
                chunks.setdefault(kept[4:8].decode(), kept[12:])
        at += 4 + size
        if head[0] & 0x80:
            break
    if info is None:
        raise AudioError("the FLAC header has no stream information", "the header is damaged")
    end = _audio_end(fd, size_bytes, at, info)
    if end is None:
        raise AudioError("the file holds no FLAC frame", "it was cut off after its header; there is nothing to recover")
    held = min(end, info.total) if info.total else end
    return FlacLayout(info.sample_rate_hz, info.channels, info.bits, held, info.total or held, comments, chunks)


def parse_vorbis_comments(content: bytes) -> dict[str, str]:
    """Comments of a FLAC or OGG file from their raw block; whatever does not fit is left out."""
    out: dict[str, str] = {}
    at = 4 + int.from_bytes(content[:4], "little")
    count = int.from_bytes(content[at : at + 4], "little")
    at += 4
    while count > 0 and at + 4 <= len(content):
        size = int.from_bytes(content[at : at + 4], "little")
        key, found, value = content[at + 4 : at + 4 + size].decode("utf-8", "replace").partition("=")
        if found:
            key = key.lower()
            out[key] = f"{out[key]}; {value}" if key in out else value
        at += 4 + size
        count -= 1
    return out


def _stream_info(content: bytes) -> _StreamInfo:
    if len(content) < 34:
        raise AudioError("the FLAC stream information is cut short", "the file ends inside its header; there is nothing to recover")
    packed = int.from_bytes(content[10:18], "big")
    return _StreamInfo(
        smallest_block=int.from_bytes(content[0:2], "big"),
        largest_block=int.from_bytes(content[2:4], "big"),
        largest_frame=int.from_bytes(content[7:10], "big"),
        sample_rate_hz=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        total=packed & ((1 << 36) - 1),
    )


def _audio_end(fd: int, size_bytes: int, first_frame: int, info: _StreamInfo) -> int | None:
    """Sample after the last whole frame, from the last valid frame header in the file; None without one."""
    window = min(2 * info.largest_frame + 64 if info.largest_frame else _TAIL_BYTES, _TAIL_BYTES)
    for span in (window, _TAIL_BYTES):
        start = max(first_frame, size_bytes - span)
        tail = os.pread(fd, max(size_bytes - start, 0), start)
        at = len(tail)
        while (at := tail.rfind(b"\xff", 0, at)) >= 0:
            frame = _frame(tail[at : at + 16], info)
            if frame is not None:
                begin, n = frame
                return begin + n if begin + n == info.total or _crc16(tail[at:]) == 0 else begin
    return None


def _frame(head: bytes, info: _StreamInfo) -> tuple[int, int] | None:
    """First sample and length of the frame whose header this is; None if it is no valid header (format specification, section 9.1)."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    number = _coded_number(head[4:11])
    if number is None:
        return None
    value, used = number
    at = 4 + used
    code = head[2] >> 4
    extra = {6: 1, 7: 2}.get(code, 0)
    rate_extra = {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    crc_at = at + extra + rate_extra
    if code == 0 or len(head) <= crc_at or _crc8(head[:crc_at]) != head[crc_at]:
        return None
    n = _block_length(code, head[at : at + extra])
    begin = value if head[1] & 1 else value * info.smallest_block
    if n > max(info.largest_block, 16) or (info.total and begin + n > info.total):
        return None
    return begin, n


def _block_length(code: int, stored: bytes) -> int:
    if stored:
        return int.from_bytes(stored, "big") + 1
    return 192 if code == 1 else 576 << (code - 2) if code <= 5 else 256 << (code - 8)


def _coded_number(content: bytes) -> tuple[int, int] | None:
    """Value and length of a number coded like UTF-8, up to seven bytes."""
    first = content[0]
    used = 1 if first < 0x80 else next((n for n in range(2, 8) if first >> (7 - n) & 1 == 0), 0)
    if first & 0xC0 == 0x80 or used == 0 or len(content) < used:
        return None
    value = first if used == 1 else first & ((1 << (7 - used)) - 1)
    for byte in content[1:used]:
        if byte & 0xC0 != 0x80:
            return None
        value = value << 6 | byte & 0x3F
    return value, used


def _crc_table(polynomial: int, width: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> (width - 1) else value << 1) & ((1 << width) - 1)
        table.append(value)
    return tuple(table)


_CRC8 = _crc_table(0x07, 8)
_CRC16 = _crc_table(0x8005, 16)


def _crc8(content: bytes) -> int:
    value = 0
    for byte in content:
        value = _CRC8[value ^ byte]
    return value


def _crc16(content: bytes) -> int:
    value = 0
    for byte in content:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value
