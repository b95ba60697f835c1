"""When a recording began: from its headers and name, with how that is known and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone, tzinfo

from detector.audio.formats import Layout
from detector.audio.headers import HeaderClues, read_headers
from detector.audio.names import SECOND_NS, NameClues, Reading, read_name
from detector.types import StartTime

_HOUR_NS = 3600 * SECOND_NS
_RESET_YEARS = frozenset({1970, 1980, 2000})
"""Where clocks begin after they lost power: UNIX, FAT and most clock chips. No digital field recorder is that old."""
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a recording comes from.

    Attributes
    ----------
    start : StartTime
    recorder, device : str or None
    gapless : bool
    metadata : mapping of str to str
    """

    start: StartTime
    recorder: str | None = None
    device: str | None = None
    gapless: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_origin(stem: str, layout: Layout, zone: tzinfo | None, name_pattern: str | None) -> Origin:
    """Put together what headers and name say.

    The first header with a time is believed (GUANO, AudioMoth comment, wamd, Frontier Labs tags, broadcast WAV), then the
    name. A zone comes from the same place as the time, else from the name if it tells the same time, else from ``zone``.

    Parameters
    ----------
    stem : str
        File name without extension.
    layout : Layout
    zone : tzinfo or None
        Of the recorder's clock.
    name_pattern : str or None

    Raises
    ------
    ConfigError
        If the pattern is not usable.
    """
    headers = read_headers(layout.chunks, layout.comments, layout.sample_rate_hz)
    name = read_name(stem, name_pattern)
    metadata: dict[str, str] = dict(name.metadata)
    for clues in reversed(headers):
        metadata.update(clues.metadata)
    return Origin(
        start=_start_time(headers, name, zone),
        recorder=next((clues.recorder for clues in headers if clues.recorder), name.recorder),
        device=next((clues.device for clues in headers if clues.device), name.device),
        # No recorder known to us promises gapless files in its header. A broadcast WAV that counts samples since midnight lets
        # the seam be checked to the sample, and chain_recordings does so; nothing else is taken on trust.
        gapless="time_reference" in metadata,
        metadata=metadata,
    )


def _start_time(headers: list[HeaderClues], name: NameClues, zone: tzinfo | None) -> StartTime:
    readings = [clues.reading for clues in headers if clues.reading is not None]
    if name.reading is not None:
        readings.append(name.reading)
    if not readings:
        return StartTime(provenance="name: clock never set" if name.never_set else "unknown")
    first = readings[0]
    if first.offset_s is None:
        first = next((other for other in readings if other.offset_s is not None and _same_time(first, other)), first)
    if first.local.year in _RESET_YEARS:
        # the wall clock is kept for the record; it says nothing about when
        return StartTime(local=_iso(first), utc_offset_s=first.offset_s, provenance=f"{first.provenance} (clock was reset)")
    return _in_utc(first, zone)


def _same_time(one: Reading, other: Reading) -> bool:
    return abs(one.local - other.local) < timedelta(seconds=1)


def _in_utc(reading: Reading, zone: tzinfo | None) -> StartTime:
    start = StartTime(
        local=_iso(reading),
        utc_offset_s=reading.offset_s,
        provenance=reading.provenance,
        uncertainty_ns=reading.uncertainty_ns,
        zone_provenance=reading.zone_provenance,
    )
    if reading.offset_s is not None:
        return replace(start, utc_ns=_utc_ns(reading.local, reading.offset_s))
    if zone is None:
        return start
    return _by_zone(start, reading, zone)


def _by_zone(start: StartTime, reading: Reading, zone: tzinfo) -> StartTime:
    """UTC by the configured zone. In the hour that happens twice, or never, of a zone with summer time, an hour of doubt is stored."""
    early, late = (_offset_s(reading.local, zone, fold) for fold in (0, 1))
    exists = any(_exists(reading.local, zone, fold) for fold in (0, 1))
    if early == late:
        return replace(start, utc_ns=_utc_ns(reading.local, early), utc_offset_s=early, zone_provenance="config")
    doubt = "hour that happens twice" if exists else "hour that summer time skips"
    return replace(
        start,
        utc_ns=_utc_ns(reading.local, early),
        utc_offset_s=early,
        zone_provenance=f"config ({doubt})",
        uncertainty_ns=reading.uncertainty_ns + _HOUR_NS,
    )


def _offset_s(local: datetime, zone: tzinfo, fold: int) -> int:
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _exists(local: datetime, zone: tzinfo, fold: int) -> bool:
    aware = local.replace(tzinfo=zone, fold=fold)
    return aware.astimezone(timezone.utc).astimezone(zone).replace(tzinfo=None) == local


def _utc_ns(local: datetime, offset_s: int) -> int:
    span = local - _EPOCH
    return ((span.days * 86_400 + span.seconds - offset_s) * 1_000_000 + span.microseconds) * 1000


def _iso(reading: Reading) -> str:
    """ISO 8601 with as many digits of the second as the recorder wrote."""
    whole = reading.local.replace(microsecond=0).isoformat()
    return whole if reading.digits == 0 else f"{whole}.{reading.local.microsecond:06d}"[: len(whole) + 1 + reading.digits]
