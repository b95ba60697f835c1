"""Ten thousand damaged headers: every one becomes a recording or a clear refusal, and what passes can be read."""

from __future__ import annotations

import struct
from functools import reduce
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from detector.audio.archive import ArchiveSource, inspect_recording
from detector.types import AudioBlock, BadRecording, Recording

MUTATIONS = 10_000
SEED = 20_240_501
BLOCKS_READ = 6
SPECIAL = (0, 1, 2, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 44, 0xFFFFFFF0)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def seeds(folder: Path) -> dict[str, bytes]:
    """A small file of every kind, with every header that is understood."""
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (3000, 2))
    kinds = {
        "pcm16.wav": ("WAV", "PCM_16"),
        "pcm24.wav": ("WAVEX", "PCM_24"),
        "float.wav": ("WAV", "FLOAT"),
        "double.wav": ("WAV", "DOUBLE"),
        "alaw.wav": ("WAV", "ALAW"),
        "adpcm.wav": ("WAV", "IMA_ADPCM"),
        "gsm.wav": ("WAV", "GSM610"),
        "long.wav": ("RF64", "PCM_16"),
        "sony.w64": ("W64", "PCM_24"),
        "a.flac": ("FLAC", "PCM_16"),
        "b.flac": ("FLAC", "PCM_24"),
        "vorbis.ogg": ("OGG", "VORBIS"),
        "opus.ogg": ("OGG", "OPUS"),
        "a.mp3": ("MP3", "MPEG_LAYER_III"),
    }
    out: dict[str, bytes] = {}
    for name, (container, encoding) in kinds.items():
        samples = noise[:, :1] if encoding == "GSM610" else noise
        soundfile.write(folder / name, samples, 16_000 if encoding == "OPUS" else 22_050, format=container, subtype=encoding)
        out[name] = (folder / name).read_bytes()
    comment = b"Recorded at 10:00:00 19/02/2018 (UTC+1) by AudioMoth 0FE081F80FE081F0 at gain setting 2 while battery state was 4.5V\0"
    wamd = struct.pack("<HIH", 0, 2, 1) + struct.pack("<HI", 5, 19) + b"2019-05-22 18:30:00" + struct.pack("<HI", 1, 3) + b"SM4"
    bext = bytes(320) + b"2021-03-0405:06:07" + struct.pack("<Q", 404_967_150) + bytes(256)
    extra = chunk(b"LIST", b"INFO" + chunk(b"ICMT", comment)) + chunk(b"wamd", wamd) + chunk(b"bext", bext)
    plain = out["pcm16.wav"]
    guano = chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp: 2022-06-18T23:30:59+03:00\nTE: 10\n")
    out["rich.wav"] = plain[:36] + extra + plain[36:] + guano
    flac = out["a.flac"]
    tags = struct.pack("<III", 0, 1, 29) + b"RecordingStart=2021-03-31T10Z"
    application = b"riff" + chunk(b"LIST", b"INFO" + chunk(b"ICMT", comment))
    blocks = b"".join(bytes([kind]) + len(body).to_bytes(3, "big") + body for kind, body in ((4, tags), (2, application)))
    out["rich.flac"] = flac[:42] + blocks + flac[42:]
    out["id3.mp3"] = b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + out["a.mp3"]
    return out


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four damages, mostly in the header."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        reach = len(data) if rng.random() < 0.2 else min(len(data), int(rng.choice([48, 160, 600])))
        if reach < 2:
            break
        at = int(rng.integers(0, reach))
        kind = int(rng.integers(0, 8))
        span = int(rng.integers(1, 64))
        if kind <= 1:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            data[at : at + span] = rng.bytes(span)
        elif kind == 3:
            value = int(rng.choice(SPECIAL)) if rng.random() < 0.7 else int(rng.integers(0, 1 << 32))
            data[at // 2 * 2 : at // 2 * 2 + 4] = struct.pack("<I" if rng.random() < 0.8 else ">I", value)
        elif kind == 4:
            del data[at if rng.random() < 0.5 else -span :]
        elif kind == 5:
            del data[at : at + span]
        elif kind == 6:
            data[at:at] = data[at : at + span]
        else:
            data[at : at + span] = bytes(span)
    return bytes(data)


OGG_CRC = tuple(
    reduce(lambda value, _: (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF, range(8), byte << 24)
    for byte in range(256)
)


def with_page_sums(content: bytes) -> bytes:
    """An OGG file whose page checksums are right again, so that damage gets past them to the decoder."""
    data = bytearray(content)
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    for begin, end in pairwise([*starts, len(data)]):
        if end - begin >= 27:
            data[begin + 22 : begin + 26] = bytes(4)
            value = 0
            for byte in data[begin:end]:
                value = (value << 8 & 0xFFFFFFFF) ^ OGG_CRC[value >> 24 ^ byte]
            data[begin + 22 : begin + 26] = struct.pack("<I", value)
    return bytes(data)


def check(path: Path) -> bool:
    """Whether the file passed; fails the test when the answer is neither a usable recording nor a clear refusal."""
    found = inspect_recording(path, None, None)
    if isinstance(found, BadRecording):
        assert found.reason
        assert found.hint
        return False
    assert isinstance(found, Recording)
    assert 2_000 <= found.sample_rate_hz <= 500_000
    assert 1 <= found.channels <= 1024
    assert 1 <= found.n_samples <= found.promised_samples
    total = 0
    for item in islice(ArchiveSource([found], found.channels, 2000), BLOCKS_READ):
        if isinstance(item, AudioBlock):
            assert np.isfinite(item.samples).all()
            total += len(item.samples)
        else:
            assert item.reason
            total += item.n_samples or 0
    assert 0 < total <= found.n_samples
    return True


@pytest.mark.timeout(300)
def test_ten_thousand_damaged_headers_neither_crash_nor_hang(tmp_path: Path) -> None:
    originals = list(seeds(tmp_path).items())
    rng = np.random.default_rng(SEED)
    passed = 0
    for number in range(MUTATIONS):
        name, content = originals[number % len(originals)]
        path = tmp_path / f"m{name}"
        damaged = mutate(content, rng)
        path.write_bytes(with_page_sums(damaged) if name.endswith("ogg") else damaged)
        passed += check(path)
    assert 0.2 * MUTATIONS < passed < 0.95 * MUTATIONS


def test_the_undamaged_seeds_all_pass(tmp_path: Path) -> None:
    for name, content in seeds(tmp_path).items():
        (tmp_path / name).write_bytes(content)
        assert check(tmp_path / name)
