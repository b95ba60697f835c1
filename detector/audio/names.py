"""Start times in file names: a strict table of what recorders write, and nothing else.

A name matches one whole pattern or it says nothing. A date with a suffix that the table does not know (such as the offset
of a cut-out clip) is therefore no start time, and eight digits alone are never a date: BATLOGGER numbers its files so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from detector.errors import ConfigError

SECOND_NS = 1_000_000_000
PATTERN_PROVENANCE = "name: recordings.name_pattern"
"""Of a time that was read with the setting of that name, and may be read otherwise with another."""

FREE_RUNNING_NS = 60 * SECOND_NS
"""Quartz clocks of recorders are good to about 20 ppm: 52 s in a month in the field since they were set."""
GPS_NS = SECOND_NS
"""Synchronised by satellite: what remains is that the stamp has whole seconds."""
SOUNDTRAP_NS = 40 * SECOND_NS
"""Set to 0.5 s by the host, then 5 ppm (manual): 39 s in three months under water."""

UTC_OFFSET_LIMIT_S = 18 * 3600


@dataclass(frozen=True, slots=True)
class Reading:
    """One statement about when a recording began.

    Attributes
    ----------
    local : datetime
        Wall clock, without zone.
    digits : int
        Of the second's fraction, as written.
    offset_s : int or None
    provenance : str
    uncertainty_ns : int
    zone_provenance : str
        "header" or "name" when the offset is known.
    """

    local: datetime
    digits: int
    offset_s: int | None
    provenance: str
    uncertainty_ns: int
    zone_provenance: str = "unknown"


@dataclass(frozen=True, slots=True)
class NameClues:
    """What a file name tells.

    Attributes
    ----------
    reading : Reading or None
    never_set : bool
        The name is what the recorder writes when its clock was never set.
    recorder, device : str or None
    metadata : dict of str to str
    """

    reading: Reading | None = None
    never_set: bool = False
    recorder: str | None = None
    device: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


_DATE = r"(?P<Y>\d{4})(?P<m>\d\d)(?P<d>\d\d)"
_TIME = r"(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)"
_HYPHENS = r"(?P<Y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)[T_ ]T?(?P<H>\d\d)-(?P<M>\d\d)-(?P<S>\d\d)"
_ZONE = r"(?P<zone>Z|[+-]\d{4})"
_PREFIX = r"(?:.+[_-])?"
_PLACE = r"(?:_| \[|_\[)?(?P<lat>[+-]?\d{1,2}\.\d+)[ _]?(?P<lon>[+-]?\d{1,3}\.\d+)\]?"


@dataclass(frozen=True, slots=True)
class _Pattern:
    name: str
    regex: re.Pattern[str]
    uncertainty_ns: int
    recorder: str | None = None


def _row(name: str, regex: str, uncertainty_ns: int, recorder: str | None = None) -> _Pattern:
    return _Pattern(name, re.compile(regex), uncertainty_ns, recorder)


_TABLE = (
    # 20210617T080000+0000_Rec2_-18.2656+144.5564, 20190401T000000+1000_REC [-27.3888 152.8808]
    _row("frontier labs", rf"{_DATE}T{_TIME}{_ZONE}_[^\[]*?{_PLACE}", FREE_RUNNING_NS, "Frontier Labs"),
    # S20190401T000000+1000_E20190401T015955+1000_-27.3888+152.8808
    _row("frontier labs", rf"S{_DATE}T{_TIME}{_ZONE}_E\d{{8}}T\d{{6}}[+-]\d{{4}}_{_PLACE}", FREE_RUNNING_NS, "Frontier Labs"),
    # 20190401T000000+1000_REC
    _row("frontier labs", rf"{_DATE}T{_TIME}{_ZONE}_(?:REC|Rec)\w*", FREE_RUNNING_NS, "Frontier Labs"),
    # site_20191222T031830Z, 20200426T020000+0200, 20200426T020000.250Z, 20200426T020000
    _row("iso time", rf"{_PREFIX}{_DATE}T{_TIME}(?:\.(?P<f>\d{{1,6}}))?{_ZONE}?", FREE_RUNNING_NS),
    # SwiftOne_20220719_000000_-0400
    _row("swift", rf".*[Ss]wift.*_{_DATE}_{_TIME}_{_ZONE}", FREE_RUNNING_NS, "Swift"),
    _row("date, time and offset", rf"{_PREFIX}{_DATE}_{_TIME}_?{_ZONE}", FREE_RUNNING_NS),
    # SM3_0+1_20150601$053000: the dollar says that the Song Meter's clock was set by satellite
    _row("song meter with gps", rf".+_{_DATE}\$(?:{_TIME})(?:_(?P<f>\d{{3}}))?", GPS_NS, "Song Meter"),
    # prefix_20230401_183000_123456: Song Meter SMART, microseconds from satellite time
    _row("song meter smart", rf".+_{_DATE}_{_TIME}_(?P<f>\d{{6}})", GPS_NS, "Song Meter"),
    # S4A03895_20190522_183000, S4U00001_20190522_183000_123 (triggered, milliseconds)
    _row("date and time with milliseconds", rf"{_PREFIX}{_DATE}_{_TIME}_(?P<f>\d{{3}})", FREE_RUNNING_NS),
    # 20240501_053000, 20240501_053000T (AudioMoth, triggered), 24E144085F256CDB_20240501_053000
    _row("date and time", rf"{_PREFIX}{_DATE}_{_TIME}T?", FREE_RUNNING_NS),
    # PREFIX_ID_2022-05-01_T05-30-00 (OwlSense), site_2022-05-01T05-30-00, 2022-05-01_05-30-00
    _row("date and time with hyphens", rf"{_PREFIX}{_HYPHENS}", FREE_RUNNING_NS),
    # 5146.200729120000: in the zone of the computer that emptied the SoundTrap
    _row("soundtrap", rf"(?P<serial>\d{{3,10}})\.(?P<y>\d\d)(?P<m>\d\d)(?P<d>\d\d){_TIME}", SOUNDTRAP_NS, "SoundTrap"),
)
_HEX = re.compile(r"[0-9A-F]{8}|[0-9a-f]{8}")
_HEX_YEARS = range(2016, 2031)
_CLOCK_NEVER_SET = "00000000"


def read_name(stem: str, name_pattern: str | None = None) -> NameClues:
    """Clues in a file name without its extension.

    Parameters
    ----------
    stem : str
    name_pattern : str or None
        strptime codes of the whole name, tried when the table has nothing.

    Raises
    ------
    ConfigError
        If the pattern is not usable.
    """
    for pattern in _TABLE:
        match = pattern.regex.fullmatch(stem)
        reading = None if match is None else _reading(match, pattern)
        if match is not None and reading is not None:
            groups = match.groupdict()
            place = {"position": f"{groups['lat']} {groups['lon']}"} if groups.get("lat") else {}
            return NameClues(reading, recorder=pattern.recorder, device=groups.get("serial"), metadata=place)
    if stem == _CLOCK_NEVER_SET:
        return NameClues(never_set=True)
    hexadecimal = _read_hexadecimal(stem)
    if hexadecimal is not None:
        return NameClues(hexadecimal, recorder="AudioMoth")
    return NameClues(None if name_pattern is None else _read_by_pattern(stem, name_pattern))


def moment(parts: Iterable[str | int], fraction: str = "") -> datetime | None:
    """A wall-clock time from year to second and the digits after the point; None if there is no such time.

    24:00:00 is the next midnight (ISO 8601).
    """
    year, month, day, hour, minute, second = (int(part) for part in parts)
    microsecond = int(fraction[:6].ljust(6, "0"))
    midnight = (hour, minute, second, microsecond) == (24, 0, 0, 0)
    if not 1950 <= year <= 2100:
        return None
    try:
        at = datetime(year, month, day, 0 if midnight else hour, minute, second, microsecond)
    except ValueError:
        return None
    return at + timedelta(days=1) if midnight else at


def parse_offset(text: str) -> int | None:
    """Seconds east of UTC from "Z", "+0200" or "-05:30"; None if it is no offset that exists."""
    if text == "Z":
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    seconds = hours * 3600 + minutes * 60
    if minutes > 59 or seconds > UTC_OFFSET_LIMIT_S:
        return None
    return -seconds if text[0] == "-" else seconds


def _reading(match: re.Match[str], pattern: _Pattern) -> Reading | None:
    groups = match.groupdict()
    fraction = groups.get("f") or ""
    year = groups["Y"] if groups.get("Y") else f"20{groups['y']}"
    local = moment((year, *(groups[part] for part in "mdHMS")), fraction)
    zone = groups.get("zone")
    offset_s = None if zone is None else parse_offset(zone)
    if local is None or (zone is not None and offset_s is None):
        return None
    zone_provenance = "unknown" if zone is None else "name"
    return Reading(local, len(fraction), offset_s, f"name: {pattern.name}", pattern.uncertainty_ns, zone_provenance)


def _read_hexadecimal(stem: str) -> Reading | None:
    """Seconds since 1970 in UTC, as AudioMoth wrote them until 2019. Needs a letter: digits alone may be a running number."""
    if not _HEX.fullmatch(stem) or stem.isdigit():
        return None
    local = datetime.fromtimestamp(int(stem, 16), timezone.utc).replace(tzinfo=None)
    if local.year not in _HEX_YEARS:
        return None
    return Reading(local, 0, 0, "name: audiomoth hexadecimal", FREE_RUNNING_NS, "name")


def _read_by_pattern(stem: str, pattern: str) -> Reading | None:
    _check_pattern(pattern)
    try:
        at = datetime.strptime(stem, pattern)
    except ValueError:
        return None
    offset = at.utcoffset()
    digits = 6 if "%f" in pattern else 0
    offset_s = None if offset is None else round(offset.total_seconds())
    zone_provenance = "unknown" if offset is None else "name"
    return Reading(at.replace(tzinfo=None), digits, offset_s, PATTERN_PROVENANCE, FREE_RUNNING_NS, zone_provenance)


@lru_cache(maxsize=32)
def _check_pattern(pattern: str) -> None:
    """A pattern must give back year, month, day, hour and minute; a time that lacks one of them would be invented."""
    sample = datetime(2021, 10, 23, 17, 48, 0, tzinfo=timezone.utc)
    try:
        found = datetime.strptime(sample.strftime(pattern), pattern).replace(tzinfo=timezone.utc, second=0, microsecond=0)
    except (ValueError, re.error) as error:
        raise ConfigError(f"recordings.name_pattern {pattern!r}: {error}", 'write it like "site7-%Y%m%d-%H%M%S"') from error
    if found != sample:
        raise ConfigError(
            f"recordings.name_pattern {pattern!r} lacks a part of the date or time",
            "it needs year, month, day, hour and minute, such as %Y%m%d-%H%M%S",
        )
