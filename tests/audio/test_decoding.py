"""Every coding decodes to the numbers that were written, and the hash sees only those numbers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from detector.audio.archive import ArchiveSource, ChainDecoder, audio_hash, inspect_recording
from detector.errors import AudioError
from detector.types import AudioBlock, Gap, Recording

RATE = 24_000
RNG = np.random.default_rng(7)


def look(path: Path) -> Recording:
    recording = inspect_recording(path, None, None)
    assert isinstance(recording, Recording), recording
    return recording


def listen(chain: list[Recording] | ArchiveSource, channel: int | str = 1, block_samples: int = 5000) -> np.ndarray:
    source = chain if isinstance(chain, ArchiveSource) else ArchiveSource(chain, channel, block_samples)
    items = list(source)
    assert all(isinstance(item, AudioBlock) for item in items), items
    return np.concatenate([item.samples for item in items])


def int16_noise(n: int, channels: int = 1) -> np.ndarray:
    return RNG.integers(-32768, 32768, (n, channels), dtype=np.int16)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64"])
@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
def test_plain_samples_equal_what_libsndfile_reads(tmp_path: Path, container: str, encoding: str) -> None:
    path = tmp_path / "a.wav"
    noise = RNG.uniform(-1, 1, (70_001, 2))
    soundfile.write(path, noise, RATE, format=container, subtype=encoding)
    recording = look(path)
    assert (recording.container, recording.encoding) == (container, encoding)
    assert (recording.sample_rate_hz, recording.channels, recording.n_samples, recording.promised_samples) == (RATE, 2, 70_001, 70_001)
    expected = soundfile.read(path, dtype="float32")[0]
    for channel in (1, 2):
        assert np.array_equal(listen([recording], channel), expected[:, channel - 1])
    assert np.allclose(listen([recording], "mix"), expected.mean(axis=1), atol=1e-7)


def test_big_endian_wav_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    noise = int16_noise(3000)
    for encoding in ("PCM_16", "PCM_24", "PCM_32"):
        soundfile.write(path, noise, RATE, format="WAV", subtype=encoding, endian="BIG")
        assert path.read_bytes()[:4] == b"RIFX"
        assert np.array_equal(listen([look(path)]), noise[:, 0] / np.float32(32768))


@pytest.mark.parametrize(("format_", "encoding"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "IMA_ADPCM")])
def test_codecs_equal_what_libsndfile_reads(tmp_path: Path, format_: str, encoding: str) -> None:
    path = tmp_path / "a.bin"
    soundfile.write(path, RNG.uniform(-0.5, 0.5, (60_000, 1)), RATE, format=format_, subtype=encoding)
    recording = look(path)
    assert recording.encoding == encoding
    expected = soundfile.read(path, dtype="float32")[0]
    # soundfile.read seeks first, after which mpg123 rounds differently
    assert np.allclose(listen([recording]), expected, rtol=0, atol=2e-7 if format_ == "MP3" else 0)


@pytest.mark.parametrize(
    ("wav", "flac", "dtype"), [("PCM_U8", "PCM_S8", "int16"), ("PCM_16", "PCM_16", "int16"), ("PCM_24", "PCM_24", "int32")]
)
def test_wav_and_its_flac_hash_alike(tmp_path: Path, wav: str, flac: str, dtype: str) -> None:
    noise = RNG.uniform(-1, 1, (50_000, 3))
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype=wav)
    samples = soundfile.read(tmp_path / "a.wav", dtype=dtype, always_2d=True)[0]
    soundfile.write(tmp_path / "a.flac", samples, RATE, subtype=flac)
    one, other = look(tmp_path / "a.wav"), look(tmp_path / "a.flac")
    assert (other.container, other.encoding, other.n_samples) == ("FLAC", flac, 50_000)
    assert audio_hash([one]) == audio_hash([other])
    assert np.array_equal(listen([one], 3), listen([other], 3))


def test_pieces_in_order_hash_like_the_whole_and_nothing_else_does(tmp_path: Path) -> None:
    noise = int16_noise(200_000)
    soundfile.write(tmp_path / "whole.wav", noise, RATE)
    cuts = [0, 1, 70_000, 70_007, 200_000]
    pieces = []
    for number, (begin, end) in enumerate(pairwise(cuts)):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, noise[begin:end], RATE)
        pieces.append(look(path))
    whole = look(tmp_path / "whole.wav")
    assert audio_hash(pieces) == audio_hash([whole])
    assert np.array_equal(listen(pieces), listen([whole]))
    assert audio_hash(pieces[::-1]) != audio_hash([whole])
    soundfile.write(tmp_path / "other_rate.wav", noise, RATE + 1)
    soundfile.write(tmp_path / "wider.wav", noise, RATE, subtype="PCM_24")
    soundfile.write(tmp_path / "shorter.wav", noise[:-1], RATE)
    assert len({audio_hash([look(path)]) for path in tmp_path.glob("*.wav")}) == 4


def test_decoding_once_gives_the_same_hash_and_audio_as_decoding_twice(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", int16_noise(150_000, 2), RATE)
    recording = look(tmp_path / "a.flac")
    for keep in (0, 1 << 30):
        decoder = ChainDecoder([recording], keep)
        assert decoder.audio_hash == audio_hash([recording])
        assert np.array_equal(listen(decoder.source("mix", 1000)), listen([recording], "mix", 1000))


def test_each_recording_of_a_chain_has_its_own_hash(tmp_path: Path) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", int16_noise(70_000), RATE)
    chain = [look(tmp_path / "a.wav"), look(tmp_path / "b.wav")]
    for keep in (0, 1 << 30):
        decoder = ChainDecoder(chain, keep)
        assert decoder.recording_hashes == tuple(audio_hash([recording]) for recording in chain)
        assert decoder.audio_hash == audio_hash(chain)
    assert ChainDecoder(chain[:1]).recording_hashes == (audio_hash(chain[:1]),)


def test_blocks_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", int16_noise(150_000), RATE)
    recording = look(tmp_path / "a.wav")
    for size in (1_000, 65_536, 99_999, 10_000_000):
        blocks = list(ArchiveSource([recording], 1, size))
        assert [block.start_sample for block in blocks] == list(range(0, 150_000, size))
        assert sum(len(block.samples) for block in blocks) == 150_000
        assert {block.samples.dtype.name for block in blocks} == {"float32"}


@pytest.mark.parametrize("channel", [0, 3, -1])
def test_a_channel_that_is_not_there_is_an_error(tmp_path: Path, channel: int) -> None:
    soundfile.write(tmp_path / "a.wav", int16_noise(10, 2), RATE)
    with pytest.raises(AudioError, match=f"has 2 channels, not a channel {channel}"):
        ArchiveSource([look(tmp_path / "a.wav")], channel, 100)


def test_samples_that_are_no_numbers_become_gaps(tmp_path: Path) -> None:
    noise = RNG.uniform(-1, 1, 100_000).astype(np.float32)
    noise[30_000:40_000] = np.nan
    noise[40_100] = np.inf  # closer than 0.1 s to the last: one gap
    noise[65_536:70_000] = -np.inf
    noise[99_999] = 1e30
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    items = list(ArchiveSource([look(tmp_path / "a.wav")], 1, 1 << 20))
    gaps = [item for item in items if isinstance(item, Gap)]
    assert gaps == [
        Gap(30_000, 10_101, "non-finite samples"),
        Gap(25_435, 4_464, "non-finite samples"),
        Gap(29_999, 1, "non-finite samples"),
    ]
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    assert [block.start_sample for block in blocks] == [0, 0, 0]
    heard = np.concatenate([block.samples for block in blocks])
    assert np.array_equal(heard, np.r_[noise[:30_000], noise[40_101:65_536], noise[70_000:99_999]])
    for size in (1, 77, 40_000):
        small = list(ArchiveSource([look(tmp_path / "a.wav")], 1, size))
        assert [item for item in small if isinstance(item, Gap)] == gaps


def strip_length(content: bytes) -> bytes:
    """An MP3 without the first frame, which states how long it is."""
    return content[content.index(b"\xff", 10) :]


def test_an_mp3_that_does_not_state_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(10 * 44_100) / 44_100) + RNG.normal(0, 0.05, 10 * 44_100)
    soundfile.write(tmp_path / "a.mp3", tone, 44_100, format="MP3", bitrate_mode="VARIABLE")
    content = (tmp_path / "a.mp3").read_bytes()
    stated = listen([look(tmp_path / "a.mp3")])
    assert len(stated) == 441_000
    (tmp_path / "b.mp3").write_bytes(strip_length(content))
    counted = look(tmp_path / "b.mp3")
    assert 441_000 <= counted.n_samples <= 441_000 + 3 * 1152
    heard = listen([counted])
    assert len(heard) == counted.n_samples
    assert np.abs(heard[576:441_000] - stated[: 441_000 - 576]).max() < 1e-3  # the encoder's delay stays when nothing states it


def test_an_mp3_that_was_cut_off_says_how_much_it_holds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", RNG.normal(0, 0.1, 441_000), 44_100, format="MP3")
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(content[: len(content) // 2])
    recording = look(tmp_path / "b.mp3")
    assert recording.promised_samples == 441_000
    assert 200_000 < recording.n_samples < 240_000
    assert len(listen([recording])) == recording.n_samples
