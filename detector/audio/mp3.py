"""How long an MP3 file really is. libsndfile believes the first frame; files without a right length are counted frame by frame."""

from __future__ import annotations

import os
from dataclasses import dataclass

_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_RATES_HZ = (44_100, 48_000, 32_000, 0)
_DECODER_DELAY = 529
_CHUNK_BYTES = 1 << 20
_SEARCH_BYTES = 1 << 16
_SLACK_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Mp3Stream:
    """Length of an MP3 stream, and what must go before it so that a decoder believes that length.

    Attributes
    ----------
    n_samples : int
    prefix : bytes
        A frame that states the length; empty when the file has a right one itself.
    offset : int
        First byte of the file to be read after the prefix.
    """

    n_samples: int
    prefix: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class _Frame:
    head: bytes
    n_bytes: int
    n_samples: int
    sample_rate_hz: int
    side_bytes: int


@dataclass(frozen=True, slots=True)
class _Info:
    n_frames: int
    n_bytes: int
    lead_samples: int


def measure_mp3(fd: int, size_bytes: int, offset: int, believed: int) -> Mp3Stream:
    """Length of the stream at ``offset``, where a decoder believes in ``believed`` samples.

    Only a file whose header states no length, or another one than the file has, is read through.
    """
    start, first = _first_frame(fd, offset)
    if first is None:
        return Mp3Stream(believed, b"", 0)
    info = _read_info(os.pread(fd, first.n_bytes, start), first)
    present = size_bytes - start
    if info is not None and abs(present - info.n_bytes) <= _SLACK_FRAMES * first.n_bytes:
        return Mp3Stream(believed, b"", 0)
    n_frames = _count_frames(fd, size_bytes, start if info is None else start + first.n_bytes, first)
    if info is not None and n_frames <= info.n_frames:
        return Mp3Stream(max(0, min(believed, n_frames * first.n_samples - info.lead_samples)), b"", 0)
    skipped = 0 if info is None else first.n_bytes
    n_samples = max(0, n_frames * first.n_samples - _DECODER_DELAY)
    return Mp3Stream(n_samples, _info_frame(first, n_frames, present - skipped), start + skipped)


class Mp3File:
    """A file object that gives a decoder the prefix and then the stream."""

    def __init__(self, fd: int, stream: Mp3Stream) -> None:
        self._fd = fd
        self._stream = stream
        self._size = len(stream.prefix) + os.fstat(fd).st_size - stream.offset
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as `io.IOBase.seek` does."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._at

    def read(self, n: int) -> bytes:
        """The next bytes; fewer at the end, or where the file cannot be read."""
        prefix = self._stream.prefix
        if self._at < len(prefix):
            content = prefix[self._at : self._at + n]
        else:
            try:
                content = os.pread(self._fd, n, self._at - len(prefix) + self._stream.offset)
            except OSError:  # the decoder sees an early end, and the missing samples become a gap
                content = b""
        self._at += len(content)
        return content

    def close(self) -> None:
        """Close the file below; a second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _parse(head: bytes) -> _Frame | None:
    """Frame header of MPEG 1, 2 and 2.5 layer III (ISO 11172-3, section 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] >> 3 & 3 == 1:
        return None
    version = head[1] >> 3 & 3  # 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    kbps = (_KBPS_1 if version == 3 else _KBPS_2)[head[2] >> 4]
    rate_hz = _RATES_HZ[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    if kbps == 0 or rate_hz == 0:
        return None
    n_samples = 1152 if version == 3 else 576
    mono = head[3] >> 6 == 3
    side_bytes = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return _Frame(head[:4], n_samples * kbps * 125 // rate_hz + (head[2] >> 1 & 1), n_samples, rate_hz, side_bytes)


def _first_frame(fd: int, offset: int) -> tuple[int, _Frame | None]:
    content = os.pread(fd, _SEARCH_BYTES, offset)
    at = -1
    while (at := content.find(b"\xff", at + 1)) >= 0:
        frame = _parse(content[at : at + 4])
        if frame is not None:
            following = _parse(content[at + frame.n_bytes : at + frame.n_bytes + 4])
            if following is not None and following.sample_rate_hz == frame.sample_rate_hz:
                return offset + at, frame
    return offset, None


def _read_info(content: bytes, frame: _Frame) -> _Info | None:
    """Length that the first frame states, after Xing and LAME."""
    at = 4 + frame.side_bytes
    flags = int.from_bytes(content[at + 4 : at + 8], "big")
    if content[at : at + 4] not in (b"Xing", b"Info") or flags & 3 != 3:
        return None
    lame = content[at + 16 + (100 if flags & 4 else 0) + (4 if flags & 8 else 0) :]
    delay = int.from_bytes(lame[21:24], "big") >> 12 if lame[:1].isalpha() and len(lame) >= 24 else 0
    lead = delay + _DECODER_DELAY  # mpg123 takes both away
    return _Info(int.from_bytes(content[at + 8 : at + 12], "big"), int.from_bytes(content[at + 12 : at + 16], "big"), lead)


def _count_frames(fd: int, size_bytes: int, start: int, first: _Frame) -> int:
    n_frames, at, base, content = 0, start, start, b""
    while at + 4 <= size_bytes:
        if at + 4 > base + len(content):
            base, content = at, os.pread(fd, _CHUNK_BYTES, at)
            if len(content) < 4:
                break
        frame = _parse(content[at - base : at - base + 4])
        if frame is None or frame.sample_rate_hz != first.sample_rate_hz:
            found = content.find(b"\xff", at - base + 1)
            at = base + (found if found >= 0 else len(content))
        elif at + frame.n_bytes > size_bytes:
            break
        else:
            n_frames += 1
            at += frame.n_bytes
    return n_frames


def _info_frame(first: _Frame, n_frames: int, n_bytes: int) -> bytes:
    """A silent frame like the first one that states the length, at a bit rate that leaves room for it."""
    head = bytes([first.head[0], first.head[1] | 1, 9 << 4 | first.head[2] & 0x0C, first.head[3]])
    frame = _parse(head)
    length = first.n_bytes if frame is None else frame.n_bytes
    body = b"Xing" + (3).to_bytes(4, "big") + min(n_frames, 0xFFFFFFFF).to_bytes(4, "big")
    body += min(n_bytes + length, 0xFFFFFFFF).to_bytes(4, "big")
    return (head + bytes(first.side_bytes) + body).ljust(length, b"\0")
