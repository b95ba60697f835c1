"""Finding files, and what is said about damaged ones."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from detector.audio.archive import ArchiveSource, audio_hash, find_recordings, inspect_recording
from detector.errors import AudioError
from detector.types import AudioBlock, BadRecording, Gap, Recording

RATE = 16_000
NOISE = np.random.default_rng(3).integers(-9000, 9000, 40_000, dtype=np.int16)


def wav(path: Path, n: int = 40_000, rate: int = RATE) -> bytearray:
    soundfile.write(path, NOISE[:n], rate, subtype="PCM_16")
    return bytearray(path.read_bytes())


def look(path: Path) -> Recording:
    recording = inspect_recording(path, None, None)
    assert isinstance(recording, Recording), recording
    return recording


def refused(path: Path) -> BadRecording:
    bad = inspect_recording(path, None, None)
    assert isinstance(bad, BadRecording), bad
    assert bad.path == path
    return bad


def heard(recording: Recording) -> np.ndarray:
    items = list(ArchiveSource([recording], 1, 10_000))
    assert all(isinstance(item, AudioBlock) for item in items), items
    return np.round(np.concatenate([item.samples for item in items]) * 32768).astype(np.int16)


def test_folders_are_searched_with_everything_inside(tmp_path: Path) -> None:
    names = ["b.WAV", "a/ä ö.flac", "a/deep/c.Mp3", "a/deep/d.ogg", "a/notes.txt", "a/._c.wav", ".Trashes/e.wav", "a/f.w64"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = find_recordings([tmp_path, tmp_path / "b.WAV", str(tmp_path / "a" / "*.flac"), str(tmp_path / "**" / "d.ogg")])
    assert found == sorted(tmp_path / name for name in ("b.WAV", "a/ä ö.flac", "a/deep/c.Mp3", "a/deep/d.ogg", "a/f.w64"))
    assert all(path.is_absolute() for path in found)


def test_a_file_named_outright_is_taken_whatever_its_extension(tmp_path: Path) -> None:
    (tmp_path / "x.dat").touch()
    (tmp_path / "[odd] name?.wav").touch()
    assert find_recordings([tmp_path / "x.dat"]) == [tmp_path / "x.dat"]
    assert find_recordings([tmp_path / "[odd] name?.wav"]) == [tmp_path / "[odd] name?.wav"]


@pytest.mark.parametrize("path", ["missing.wav", "*.flac", "", "empty folder"])
def test_a_path_that_matches_nothing_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty folder").mkdir()
    with pytest.raises(AudioError, match="no recordings"):
        find_recordings([tmp_path / path])


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    assert find_recordings(["a.wav"]) == [tmp_path / "a.wav"]


def test_a_file_that_is_shorter_than_its_header_says_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = wav(path)
    path.write_bytes(content[: 44 + 2 * 12_345 + 1])
    recording = look(path)
    assert (recording.n_samples, recording.promised_samples) == (12_345, 40_000)
    assert np.array_equal(heard(recording), NOISE[:12_345])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36])
def test_a_header_that_was_never_finished_gives_what_is_there(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    content = wav(path)
    content[40:44] = struct.pack("<I", size)
    content[4:8] = struct.pack("<I", 0)
    path.write_bytes(content)
    recording = look(path)
    assert (recording.n_samples, recording.promised_samples) == (40_000, 40_000)
    assert np.array_equal(heard(recording), NOISE)


def test_chunks_before_and_after_the_samples_are_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = wav(path)
    odd = b"junk" + struct.pack("<I", 3) + b"abc\0"
    unpadded = b"junk" + struct.pack("<I", 3) + b"abc"
    path.write_bytes(content[:36] + odd + unpadded + content[36:] + odd)
    assert np.array_equal(heard(look(path)), NOISE)


def test_an_empty_data_chunk_before_another_chunk_is_really_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = wav(path)
    path.write_bytes(content[:40] + struct.pack("<I", 0) + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert "0 s" in refused(path).reason


@pytest.mark.parametrize("container", ["RF64", "W64"])
def test_truncated_long_formats_are_used_as_far_as_they_go(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, RATE, format=container, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-50_001])
    recording = look(path)
    assert recording.promised_samples == 40_000
    assert 14_000 < recording.n_samples < 15_000
    assert np.array_equal(heard(recording), NOISE[: recording.n_samples])


def test_a_wav_beyond_four_gigabytes_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = wav(path)
    n_bytes = (1 << 32) + 80_000
    with path.open("wb") as file:
        file.write(content[:40] + struct.pack("<I", n_bytes & 0xFFFFFFFF))
        file.seek(44 + n_bytes - 80_000)
        file.write(content[44:])
    recording = look(path)
    assert recording.n_samples == n_bytes // 2


@pytest.mark.parametrize("cut", [1, 500, 20_000, 40_000])
def test_a_flac_that_was_cut_off_says_how_much_it_holds(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, RATE)
    path.write_bytes(path.read_bytes()[:-cut])
    recording = look(path)
    items = list(ArchiveSource([recording], 1, 1 << 20))
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    assert recording.promised_samples == 40_000
    if cut >= 20_000:
        assert recording.n_samples < 40_000
        assert len(blocks) == len(items) == 1
        assert np.array_equal(heard(recording), NOISE[: recording.n_samples])
    else:  # the loss within the last frame is found when it is decoded
        assert sum(len(item.samples) if isinstance(item, AudioBlock) else item.n_samples or 0 for item in items) == recording.n_samples
        assert [item.reason.split(":")[0] for item in items if isinstance(item, Gap)] == ["unreadable"]


def test_a_flac_whose_header_was_never_finished_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:42] = bytes(20)
    path.write_bytes(content)
    recording = look(path)
    assert (recording.n_samples, recording.promised_samples) == (40_000, 40_000)
    assert np.array_equal(heard(recording), NOISE)


def damaged(name: str, folder: Path) -> Path:
    path = folder / f"{name}.wav"
    content = wav(path)
    patches: dict[str, bytes] = {
        "empty": b"",
        "text": "kuikka, kevät 2024\n".encode(),
        "zeros": bytes(500),
        "stub": bytes(content[:44]),
        "zero_channels": bytes(content[:22] + b"\0\0" + content[24:]),
        "too_slow": bytes(content[:24] + struct.pack("<I", 1999) + content[28:]),
        "too_fast": bytes(content[:24] + struct.pack("<I", 500_001) + content[28:]),
        "many_channels": bytes(content[:22] + b"\xff\xff" + content[24:32] + b"\0\0" + content[34:]),
        "no_format": bytes(content[:12] + content[36:]),
        "no_data": bytes(content[:36]),
        "head_only": bytes(content[:11]),
        "bits": bytes(content[:34] + b"\x40\0" + content[36:]),
        "codec": bytes(content[:20] + b"\x77\x66" + content[22:]),
        "mp3": b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + np.random.default_rng(1).bytes(5000),
        "mp3_sync": b"\xff\xfb\x90\x00" + bytes(50),
        "flac": b"fLaC" + bytes(300),
        "ogg": b"OggS" + bytes(300),
    }
    path.write_bytes(patches[name])
    return path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "the file is empty"),
        ("text", "it is not a WAV, FLAC, OGG or MP3 file"),
        ("zeros", "the header was never written"),
        ("stub", "it holds no samples (0 s)"),
        ("zero_channels", "zero channels"),
        ("too_slow", "the sample rate is 1999 Hz"),
        ("too_fast", "the sample rate is 500001 Hz"),
        ("many_channels", "65535 channels"),
        ("no_format", "no format chunk"),
        ("no_data", "no data chunk"),
        ("head_only", "not a WAV"),
        ("bits", "samples of 64 bits"),
        ("codec", "cannot be decoded"),
        ("mp3", "cannot be decoded"),
        ("mp3_sync", "cannot be decoded"),
        ("flac", "FLAC"),
        ("ogg", "cannot be decoded"),
    ],
)
def test_a_bad_file_is_refused_with_a_reason_and_a_hint(tmp_path: Path, name: str, reason: str) -> None:
    bad = refused(damaged(name, tmp_path))
    assert reason in bad.reason
    assert bad.hint
    assert bad.size_bytes == bad.path.stat().st_size


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    assert "not a regular file" in refused(tmp_path / "pipe.wav").reason
    assert "a folder" in refused(tmp_path / "folder.wav").reason
    assert "not there" in refused(tmp_path / "gone.wav").reason
    assert "not a regular file" in refused(Path("/dev/zero")).reason


@pytest.fixture
def stranger() -> Iterator[Path]:
    """A folder whose files may be forbidden: the superuser, who may read everything, becomes nobody meanwhile."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    me = os.geteuid()
    yield folder
    os.seteuid(me)
    shutil.rmtree(folder)


def test_what_may_not_be_read_is_refused_and_does_not_stop_the_search(stranger: Path) -> None:
    (stranger / "closed").mkdir()
    for name in ("a.wav", "b.wav", "closed/c.wav"):
        wav(stranger / name)
    (stranger / "b.wav").chmod(0)
    (stranger / "closed").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65_534)
    found = find_recordings([stranger])
    assert found == [stranger / "a.wav", stranger / "b.wav", stranger / "closed"]
    assert look(found[0]).n_samples == 40_000
    assert [refused(path).reason for path in found[1:]] == ["it may not be read", "it may not be read"]


def test_names_of_any_bytes_are_read(tmp_path: Path) -> None:
    for name in (b"k\xe4ki.wav", b"k\xe4ki.flac", "käki ja 'kuikka'.wav".encode()):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            soundfile.write(file, NOISE, RATE, format=name.rsplit(b".")[-1].decode().upper())
    found = find_recordings([tmp_path])
    assert len(found) == 3
    for path in found:
        assert np.array_equal(heard(look(path)), NOISE)
    latin = next(look(path) for path in found if "\udce4" in path.name)
    with pytest.raises(AudioError) as raised:
        ArchiveSource([latin], 2, 100)
    assert "k\\xe4ki" in raised.value.message
    raised.value.message.encode()


def test_a_file_that_vanishes_is_a_gap_and_the_chain_goes_on(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        wav(tmp_path / f"{number}.wav")
    chain = [look(tmp_path / f"{number}.wav") for number in (1, 2, 3)]
    (tmp_path / "2.wav").unlink()
    items = list(ArchiveSource(chain, 1, 1 << 20))
    assert [type(item) for item in items] == [AudioBlock, Gap, AudioBlock]
    assert items[1] == Gap(40_000, 40_000, "unreadable: No such file or directory")
    assert items[2].start_sample == 0
    assert audio_hash(chain) != audio_hash([chain[0], chain[2]])


def test_a_file_that_changed_after_it_was_looked_at_is_a_gap(tmp_path: Path) -> None:
    content = wav(tmp_path / "a.wav")
    recording = look(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(content[: 44 + 2 * 1000])
    assert list(ArchiveSource([recording], 1, 1 << 20)) == [Gap(0, 40_000, "unreadable: changed since it was looked at")]
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match="No such file"):
        audio_hash([recording])


def test_a_file_that_shrinks_while_it_is_read_gives_what_was_there_and_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(200_000, np.int16), RATE)
    items = iter(ArchiveSource([look(path)], 1, 1000))
    n_heard = len(next(items).samples)
    os.truncate(path, 44 + 2 * 100_000)
    *blocks, gap = items
    n_heard += sum(len(block.samples) for block in blocks)
    assert n_heard == 100_000
    assert gap == Gap(100_000, 100_000, "unreadable: ends early")


def test_a_damaged_stretch_of_a_flac_is_a_gap_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(5).integers(-9000, 9000, 600_000, dtype=np.int16)
    soundfile.write(path, noise, RATE)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(content)
    items = list(ArchiveSource([look(path)], 1, 1 << 20))
    assert [type(item) for item in items] == [AudioBlock, Gap, AudioBlock]
    before, gap, after = items
    assert isinstance(gap, Gap)
    assert isinstance(after, AudioBlock)
    assert gap.n_samples == 65_536
    assert np.array_equal(before.samples * 32768, noise[: gap.start_sample])
    assert np.array_equal(after.samples * 32768, noise[gap.start_sample + gap.n_samples :])


def test_reading_the_same_file_from_many_threads_gives_the_same_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", NOISE, RATE)
    recording = look(tmp_path / "a.flac")
    hashes: list[str] = []
    threads = [threading.Thread(target=lambda: hashes.append(audio_hash([recording]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(hashes) == {audio_hash([recording])}
    assert len(hashes) == 4


def test_real_recordings_are_all_readable(shared_audio: Path) -> None:
    found = find_recordings([shared_audio / "opensoundscape", shared_audio / "itsfm_bats"])
    assert len(found) > 80
    recordings = [look(path) for path in found]
    assert {recording.sample_rate_hz for recording in recordings} >= {250_000, 500_000}
    comment = next(recording for recording in recordings if recording.recorder == "AudioMoth")
    assert comment.start.local == "2018-05-04T09:32:00"
