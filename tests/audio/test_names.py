"""File names of recorders, and names that only look like them."""

from __future__ import annotations

import pytest

from detector.audio.names import FREE_RUNNING_NS, GPS_NS, SOUNDTRAP_NS, read_name
from detector.errors import ConfigError

KNOWN = [
    # stem, local time, offset, provenance, uncertainty
    ("5E9089F0", "2020-04-10T15:00:00", 0, "audiomoth hexadecimal", FREE_RUNNING_NS),
    ("5e9089f0", "2020-04-10T15:00:00", 0, "audiomoth hexadecimal", FREE_RUNNING_NS),
    ("20240501_053000", "2024-05-01T05:30:00", None, "date and time", FREE_RUNNING_NS),
    ("20240501_053000T", "2024-05-01T05:30:00", None, "date and time", FREE_RUNNING_NS),
    ("24E144085F256CDB_20240501_053000", "2024-05-01T05:30:00", None, "date and time", FREE_RUNNING_NS),
    ("24E144085F256CDB_20240501_053000T", "2024-05-01T05:30:00", None, "date and time", FREE_RUNNING_NS),
    ("S4A03895_20190522_183000", "2019-05-22T18:30:00", None, "date and time", FREE_RUNNING_NS),
    ("metsä kaakko_20190522_183000", "2019-05-22T18:30:00", None, "date and time", FREE_RUNNING_NS),
    ("SM3SITE_0+1_20150601_053000", "2015-06-01T05:30:00", None, "date and time", FREE_RUNNING_NS),
    ("SM3SITE_-0-_20150601$053000", "2015-06-01T05:30:00", None, "song meter with gps", GPS_NS),
    ("SMU04106_20220618$233059_250", "2022-06-18T23:30:59.250000", None, "song meter with gps", GPS_NS),
    ("S4U00001_20190522_183000_123", "2019-05-22T18:30:00.123000", None, "date and time with milliseconds", FREE_RUNNING_NS),
    ("SMART1_20230401_183000_123456", "2023-04-01T18:30:00.123456", None, "song meter smart", GPS_NS),
    ("20210617T080000+0000_Rec2_-18.2656+144.5564", "2021-06-17T08:00:00", 0, "frontier labs", FREE_RUNNING_NS),
    ("20190401T000000+1000_REC [-27.3888 152.8808]", "2019-04-01T00:00:00", 36000, "frontier labs", FREE_RUNNING_NS),
    ("20190401T000000+1000_REC", "2019-04-01T00:00:00", 36000, "frontier labs", FREE_RUNNING_NS),
    ("S20190401T000000+0930_E20190401T015955+0930_-27.3888+152.8808", "2019-04-01T00:00:00", 34200, "frontier labs", FREE_RUNNING_NS),
    ("5146.200729120000", "2020-07-29T12:00:00", None, "soundtrap", SOUNDTRAP_NS),
    ("SwiftOne_20220719_000000_-0400", "2022-07-19T00:00:00", -14400, "swift", FREE_RUNNING_NS),
    ("OWL_12_2022-05-01_T05-30-00", "2022-05-01T05:30:00", None, "date and time with hyphens", FREE_RUNNING_NS),
    ("SanctSound_FK02_03_windwaves_20191222T031830Z", "2019-12-22T03:18:30", 0, "iso time", FREE_RUNNING_NS),
    ("20200131_240000", "2020-02-01T00:00:00", None, "date and time", FREE_RUNNING_NS),
    ("20200229_000000", "2020-02-29T00:00:00", None, "date and time", FREE_RUNNING_NS),
]

UNKNOWN = [
    "10160435",  # BATLOGGER: device and running number
    "20240501",  # a date alone is no time
    "59012345",  # digits alone may be a running number, though AudioMoth writes such names too
    "DEADBEEF",  # hexadecimal, but of the year 2088
    "20230229_120000",  # no such day
    "20231301_120000",
    "20230101_250000",
    "20230101_240001",
    "20230101_126000",
    "20230101_120060",
    "99990101_120000",
    "12345678_123456",
    "20210617T080000+9900_Rec2_-18.2656+144.5564",
    "S11_20180407_060002_06925.44_short.argus",  # a clip: it does not begin when the recording did
    "20240501_053000_clip",
    "recording of 20240501_053000 somewhere",
    "birds",
    "",
    "2019-05-22",
    "120101_120000",
]


@pytest.mark.parametrize(("stem", "local", "offset", "source", "uncertainty"), KNOWN)
def test_names_of_recorders_are_read(stem: str, local: str, offset: int | None, source: str, uncertainty: int) -> None:
    reading = read_name(stem).reading
    assert reading is not None
    assert (reading.local.isoformat(), reading.offset_s) == (local, offset)
    assert (reading.provenance, reading.uncertainty_ns) == (f"name: {source}", uncertainty)
    assert reading.zone_provenance == ("unknown" if offset is None else "name")


@pytest.mark.parametrize("stem", UNKNOWN)
def test_names_that_say_no_time_stay_unknown(stem: str) -> None:
    assert read_name(stem).reading is None


def test_a_clock_that_was_never_set_is_told() -> None:
    assert read_name("00000000").never_set
    assert read_name("00000000").reading is None


def test_names_tell_recorder_device_and_place() -> None:
    assert read_name("20210617T080000+0000_Rec2_-18.2656+144.5564").metadata == {"position": "-18.2656 +144.5564"}
    assert read_name("20190401T000000+1000_REC [-27.3888 152.8808]").metadata == {"position": "-27.3888 152.8808"}
    clues = read_name("5146.200729120000")
    assert (clues.recorder, clues.device) == ("SoundTrap", "5146")


def test_a_pattern_of_the_site_must_match_the_whole_name() -> None:
    pattern = "site7-%Y%m%d-%H%M%S"
    reading = read_name("site7-20240501-053000", pattern).reading
    assert reading is not None
    assert (reading.local.isoformat(), reading.provenance) == ("2024-05-01T05:30:00", "name: recordings.name_pattern")
    assert read_name("site7-20240501-053000-a", pattern).reading is None
    assert read_name("site8-20240501-053000", pattern).reading is None
    zoned = read_name("a 2024.05.01 05:30 +0300", "a %Y.%m.%d %H:%M %z").reading
    assert zoned is not None
    assert (zoned.offset_s, zoned.zone_provenance) == (10800, "name")


def test_a_known_name_goes_before_the_pattern_of_the_site() -> None:
    reading = read_name("20240501_053000", "%Y%d%m_%H%M%S").reading
    assert reading is not None
    assert (reading.local.month, reading.provenance) == (5, "name: date and time")


@pytest.mark.parametrize("pattern", ["%Y%m%d", "%H%M%S", "%m%d%H%M%S", "%Q", "%Y%m%d_%H", "site"])
def test_a_pattern_that_would_invent_a_part_of_the_time_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="name_pattern"):
        read_name("whatever", pattern)
