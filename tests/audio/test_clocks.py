"""Start times from headers, names and the configured zone: what is believed, and what is said about it."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import soundfile

from detector.audio.archive import inspect_recording
from detector.types import Recording, StartTime

HELSINKI = ZoneInfo("Europe/Helsinki")
SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def info(**values: str) -> bytes:
    return chunk(b"LIST", b"INFO" + b"".join(chunk(key.encode(), value.encode() + b"\0") for key, value in values.items()))


def wamd(**fields: str) -> bytes:
    numbers = {"model": 1, "serial": 2, "firmware": 3, "prefix": 4, "time": 5, "gps": 6, "temperature": 21}
    body = struct.pack("<HIH", 0, 2, 1)
    for key, value in fields.items():
        body += struct.pack("<HI", numbers[key], len(value)) + value.encode()
    return chunk(b"wamd", body + struct.pack("<HI", 0xFFFF, 3) + b"\0\0\0")


def bext(date: str, time: str, since_midnight: int, originator: str = "F6") -> bytes:
    text = [b"".ljust(256, b"\0"), originator.encode().ljust(32, b"\0"), b"".ljust(32, b"\0"), date.encode(), time.encode()]
    return chunk(b"bext", b"".join(text) + struct.pack("<Q", since_midnight) + b"\0" * 256)


def look(folder: Path, name: str, *chunks: bytes, after: bytes = b"", zone: tzinfo | None = None) -> Recording:
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
    body = b"WAVE" + form + b"".join(chunks) + chunk(b"data", bytes(1600)) + after
    path = folder / name
    path.write_bytes(chunk(b"RIFF", body))
    recording = inspect_recording(path, zone, None)
    assert isinstance(recording, Recording), recording
    assert recording.n_samples == 800
    return recording


def utc(*parts: int, micro: int = 0) -> int:
    span = datetime(*parts, tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return round(span / timedelta(seconds=1)) * SECOND + micro * 1000


AUDIOMOTH = [
    ("10:00:00 19/02/2018 by AudioMoth 0FE081F80FE081F0 at gain setting 2 while battery state was 4.5V", utc(2018, 2, 19, 10), 0),
    ("00:00:00 01/01/2019 (UTC) by AudioMoth 0FE081F80FE081F0 at gain setting 2 while battery state was 3.6V", utc(2019, 1, 1), 0),
    ("12:30:05 31/12/2019 (UTC+1) by AudioMoth 0FE081F80FE081F0 at gain setting 4", utc(2019, 12, 31, 11, 30, 5), 3600),
    (
        "20:00:00 01/06/2020 (UTC+5:30) by AudioMoth 24E144085F256CDB at medium gain setting while battery state was 3.9V"
        " and temperature was 28.0C.",
        utc(2020, 6, 1, 14, 30),
        19800,
    ),
    (
        "20:00:00 01/06/2020 (UTC-5:30) during deployment 24E144085F256CDB at low-medium gain while battery was less than 2.5V"
        " and temperature was -3.2C. Recording stopped due to low voltage.",
        utc(2020, 6, 2, 1, 30),
        -19800,
    ),
    (
        "20:00:00 01/06/2023 (UTC-0:30) by AudioMoth 24E144085F256CDB using external microphone at high gain while battery was"
        " greater than 4.9V and temperature was 0.0C. Amplitude threshold was 4 with 1s minimum trigger duration.",
        utc(2023, 6, 1, 20, 30),
        -1800,
    ),
    ("20:00:00.250 01/06/2023 (UTC+10) by AudioMoth 24E144085F256CDB at high gain", utc(2023, 6, 1, 10, micro=250_000), 36000),
]


@pytest.mark.parametrize(("comment", "utc_ns", "offset"), AUDIOMOTH)
def test_every_wording_of_the_audiomoth_comment_is_read(tmp_path: Path, comment: str, utc_ns: int, offset: int) -> None:
    recording = look(tmp_path, "20000101_000000.WAV", info(ICMT=f"Recorded at {comment}", IART="AudioMoth"), zone=HELSINKI)
    assert recording.start.utc_ns == utc_ns
    assert recording.start.utc_offset_s == offset
    assert (recording.start.provenance, recording.start.zone_provenance) == ("audiomoth comment", "header")
    assert recording.start.uncertainty_ns == MINUTE
    assert recording.recorder == "AudioMoth"


def test_the_audiomoth_comment_tells_gain_battery_and_temperature(tmp_path: Path) -> None:
    recording = look(tmp_path, "a.wav", info(ICMT=f"Recorded at {AUDIOMOTH[3][0]}"))
    assert recording.device == "24E144085F256CDB"
    assert {key: recording.metadata[key] for key in ("gain", "battery", "temperature_c")} == {
        "gain": "medium",
        "battery": "3.9V",
        "temperature_c": "28.0",
    }
    stopped = look(tmp_path, "b.wav", info(ICMT=f"Recorded at {AUDIOMOTH[4][0]}"))
    assert (stopped.device, stopped.metadata["deployment_id"]) == (None, "24E144085F256CDB")
    assert stopped.metadata["stopped"] == "due to low voltage"
    assert stopped.metadata["temperature_c"] == "-3.2"


def test_guano_goes_before_every_other_header(tmp_path: Path) -> None:
    text = (
        "GUANO|Version: 1.0\nTimestamp: 2022-06-18T23:30:59.250+03:00\nMake: Wildlife Acoustics\nModel: Song Meter Mini\nSerial: SMU04106\n"
        "Firmware Version: 4.2\nLoc Position: 60.17 24.94\nTemperature Int: 12.5\nNote: pöllö\nTE: 10\n"
    )
    chunks = (wamd(time="2021-01-01 00:00:00"), info(ICMT=f"Recorded at {AUDIOMOTH[1][0]}"))
    recording = look(tmp_path, "X_20200101_000000.wav", *chunks, after=chunk(b"guan", text.encode()))
    assert recording.start == StartTime(
        utc(2022, 6, 18, 20, 30, 59, micro=250_000), "2022-06-18T23:30:59.250", 10800, "guano", MINUTE, "header"
    )
    assert (recording.recorder, recording.device) == ("Wildlife Acoustics Song Meter Mini", "SMU04106")
    expected = {"firmware": "4.2", "position": "60.17 24.94", "temperature_c": "12.5", "note": "pöllö", "time_expansion": "10"}
    assert {key: recording.metadata[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("stamp", "utc_ns", "zone_provenance"),
    [
        ("2022-06-18T23:30:59Z", utc(2022, 6, 18, 23, 30, 59), "header"),
        ("2022-06-18T23:30:59-05:00", utc(2022, 6, 19, 4, 30, 59), "header"),
        ("2022-06-18 23:30:59", None, "unknown"),
        ("2022-06-31 23:30:59", None, "unknown"),
        ("yesterday", None, "unknown"),
        ("2022-06-18T23:30:59+99:00", None, "unknown"),
    ],
)
def test_guano_without_a_real_time_or_zone_invents_none(tmp_path: Path, stamp: str, utc_ns: int | None, zone_provenance: str) -> None:
    start = look(tmp_path, "a.wav", chunk(b"guan", f"GUANO|Version: 1.0\nTimestamp: {stamp}".encode())).start
    assert (start.utc_ns, start.zone_provenance) == (utc_ns, zone_provenance)


def test_wamd_is_read_with_its_position(tmp_path: Path) -> None:
    fields = {"model": "SM4", "serial": "S4A03895", "firmware": "2.3.4", "prefix": "S4A03895", "time": "2019-05-22 18:30:00-05:00"}
    recording = look(tmp_path, "a.wav", wamd(**fields, gps="WGS84,42.6,N,71.6,W", temperature="11.5C"))
    assert recording.start.utc_ns == utc(2019, 5, 22, 23, 30)
    assert (recording.start.provenance, recording.recorder, recording.device) == ("wamd", "Wildlife Acoustics SM4", "S4A03895")
    assert (recording.metadata["position"], recording.metadata["temperature_c"]) == ("42.6 -71.6", "11.5")


def test_broadcast_wav_is_believed_only_when_its_two_clocks_agree(tmp_path: Path) -> None:
    agreed = look(tmp_path, "a.wav", bext("2021-03-04", "05:06:07", (5 * 3600 + 6 * 60 + 7) * 8000 + 123))
    assert (agreed.start.local, agreed.start.utc_ns, agreed.start.provenance) == ("2021-03-04T05:06:07", None, "bext")
    assert agreed.gapless
    edited = look(tmp_path, "b.wav", bext("2021-03-04", "05:06:07", 0))
    assert (edited.start.provenance, edited.start.local, edited.gapless) == ("unknown", None, False)
    assert edited.metadata["raw_time"] == "2021-03-04 05:06:07"


def test_frontier_labs_tags_of_a_flac_are_read(tmp_path: Path) -> None:
    tags = {
        "RecordingStart": "2021-03-31T10:00:00+1000",
        "LastTimeSync": "2021-03-30T10:00:00+1000",
        "SensorUid": "00012345",
        "SensorFirmwareVersion": "3.14",
        "BatteryLevel": "100% 12.7V",
    }
    recording = look_flac(tmp_path / "a.flac", tags)
    assert recording.start.utc_ns == utc(2021, 3, 31)
    assert recording.start.uncertainty_ns == pytest.approx(SECOND * (1 + 86400 * 20e-6))
    assert (recording.recorder, recording.device) == ("Frontier Labs", "00012345")
    assert recording.metadata["battery"] == "100% 12.7V"


def look_flac(path: Path, tags: dict[str, str], application: bytes = b"") -> Recording:
    soundfile.write(path, np.zeros(800, np.int16), 8000, format="FLAC")
    content = path.read_bytes()
    body = struct.pack("<I", 0) + struct.pack("<I", len(tags))
    for key, value in tags.items():
        entry = f"{key}={value}".encode()
        body += struct.pack("<I", len(entry)) + entry
    blocks = bytes([4]) + len(body).to_bytes(3, "big") + body
    if application:
        blocks += bytes([2]) + len(application).to_bytes(3, "big") + application
    path.write_bytes(content[:42] + blocks + content[42:])
    recording = inspect_recording(path, None, None)
    assert isinstance(recording, Recording), recording
    return recording


def test_headers_survive_conversion_to_flac(tmp_path: Path) -> None:
    comment = f"Recorded at {AUDIOMOTH[3][0]}"
    tagged = look_flac(tmp_path / "a.flac", {"comment": comment})
    kept = look_flac(tmp_path / "b.flac", {"x": "y"}, b"riff" + info(ICMT=comment))
    assert tagged.start == kept.start
    assert kept.start.provenance == "audiomoth comment"


def test_a_name_without_zone_stays_local_until_the_site_says_its_zone(tmp_path: Path) -> None:
    start = look(tmp_path, "S4A_20240115_120000.wav").start
    assert start == StartTime(None, "2024-01-15T12:00:00", None, "name: date and time", MINUTE, "unknown")
    start = look(tmp_path, "S4A_20240115_120000.wav", zone=HELSINKI).start
    assert start == StartTime(utc(2024, 1, 15, 10), "2024-01-15T12:00:00", 7200, "name: date and time", MINUTE, "config")
    start = look(tmp_path, "S4A_20240715_120000.wav", zone=timezone(timedelta(hours=2))).start
    assert (start.utc_ns, start.utc_offset_s) == (utc(2024, 7, 15, 10), 7200)


def test_a_zone_in_the_file_goes_before_the_zone_of_the_site(tmp_path: Path) -> None:
    start = look(tmp_path, "SwiftOne_20220719_000000_-0400.wav", zone=HELSINKI).start
    assert (start.utc_ns, start.zone_provenance) == (utc(2022, 7, 19, 4), "name")


def test_a_header_without_zone_takes_the_zone_of_a_name_that_tells_the_same_time(tmp_path: Path) -> None:
    stamp = wamd(time="2022-07-19 00:00:00")
    assert look(tmp_path, "SwiftOne_20220719_000000_-0400.wav", stamp).start.utc_ns == utc(2022, 7, 19, 4)
    other = look(tmp_path, "SwiftOne_20220719_010000_-0400.wav", stamp).start
    assert (other.utc_ns, other.local, other.provenance) == (None, "2022-07-19T00:00:00", "wamd")


def test_the_hour_that_happens_twice_carries_an_hour_of_doubt(tmp_path: Path) -> None:
    start = look(tmp_path, "a_20241027_033000.wav", zone=HELSINKI).start
    assert start.utc_ns == utc(2024, 10, 27, 0, 30)
    assert start.uncertainty_ns == 61 * MINUTE
    assert start.zone_provenance == "config (hour that happens twice)"


def test_the_hour_that_summer_time_skips_carries_an_hour_of_doubt(tmp_path: Path) -> None:
    start = look(tmp_path, "a_20240331_033000.wav", zone=HELSINKI).start
    assert start.utc_ns == utc(2024, 3, 31, 1, 30)
    assert start.uncertainty_ns == 61 * MINUTE
    assert start.zone_provenance == "config (hour that summer time skips)"


@pytest.mark.parametrize("name", ["19700101_000213.WAV", "SITE_20000101_120000.wav", "19800101_000000.wav"])
def test_a_clock_that_was_reset_gives_no_utc(tmp_path: Path, name: str) -> None:
    start = look(tmp_path, name, zone=HELSINKI).start
    assert (start.utc_ns, start.uncertainty_ns) == (None, None)
    assert start.local is not None
    assert start.provenance == "name: date and time (clock was reset)"


def test_a_clock_that_was_never_set_stays_unknown(tmp_path: Path) -> None:
    assert look(tmp_path, "00000000.WAV", zone=HELSINKI).start == StartTime(provenance="name: clock never set")
    assert look(tmp_path, "birds.wav", zone=HELSINKI).start == StartTime()


def test_damaged_headers_are_passed_over(tmp_path: Path) -> None:
    comment = b"INFOICMT\xff\xff\xff\xffabc"
    rubbish = (chunk(b"wamd", b"\x05\0\xff\xff\xff\xff2019"), chunk(b"guan", b"\xff\xfe:\0"), chunk(b"LIST", comment))
    recording = look(tmp_path, "S4A_20240115_120000.wav", *rubbish, chunk(b"bext", b"short"))
    assert recording.start.provenance == "name: date and time"
