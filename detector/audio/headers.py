"""What recorders write into their files: GUANO, AudioMoth comments, Wildlife Acoustics wamd, Frontier Labs tags, broadcast WAV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from detector.audio.names import FREE_RUNNING_NS, GPS_NS, Reading, moment, parse_offset

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)?")
_DRIFT = 20e-6
_LONGEST_VALUE = 1000


@dataclass(frozen=True, slots=True)
class HeaderClues:
    """What one header tells.

    Attributes
    ----------
    reading : Reading or None
    recorder, device : str or None
    metadata : dict of str to str
    """

    reading: Reading | None = None
    recorder: str | None = None
    device: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def read_headers(chunks: Mapping[str, bytes], comments: Mapping[str, str], sample_rate_hz: int) -> list[HeaderClues]:
    """Clues of every header that a file has, the most trusted first.

    Parameters
    ----------
    chunks : mapping of str to bytes
        RIFF chunks "guan", "LIST", "wamd", "bext".
    comments : mapping of str to str
        Tags of FLAC, OGG and MP3, keys in lower case.
    sample_rate_hz : int
    """
    info = _list_info(chunks.get("LIST", b""))
    spoken = [info.get("ICMT", ""), *(comments.get(key, "") for key in ("comment", "icmt", "description"))]
    clues = [_guano(chunks["guan"])] if "guan" in chunks else []
    clues += [_audiomoth(match, text) for text in spoken if (match := _AUDIOMOTH.match(text))]
    if "wamd" in chunks:
        clues.append(_wamd(chunks["wamd"]))
    if "recordingstart" in comments or "sensorfirmwareversion" in comments:
        clues.append(_frontier_labs(comments))
    if "bext" in chunks:
        clues.append(_bext(chunks["bext"], sample_rate_hz))
    return clues


def _iso_reading(text: str, provenance: str, uncertainty_ns: int = FREE_RUNNING_NS) -> Reading | None:
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    fraction = match[7] or ""
    local = moment(match.groups()[:6], fraction)
    offset_s = None if match[8] is None else parse_offset(match[8])
    if local is None or (match[8] is not None and offset_s is None):
        return None
    return Reading(local, min(len(fraction), 6), offset_s, provenance, uncertainty_ns, "unknown" if offset_s is None else "header")


def _filled(values: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value[:_LONGEST_VALUE] for key, value in values.items() if value}


def _text(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


# GUANO: "Key: value" lines, UTF-8 (GUANO specification 1.0)


def _guano(content: bytes) -> HeaderClues:
    fields: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").replace("\0", "").splitlines():
        key, found, value = line.partition(":")
        if found:
            fields.setdefault(key.strip(), value.strip())
    make, model = fields.get("Make", ""), fields.get("Model", "")
    recorder = "AudioMoth" if model.startswith("AudioMoth") else f"{make} {model}".strip()
    expansion = fields.get("TE", "1")
    settings = fields.get("OAD|Recording Settings", "")
    gain = re.search(r"GAIN (\d)", settings)
    metadata = {
        "firmware": fields.get("Firmware Version"),
        "position": fields.get("Loc Position"),
        "elevation_m": fields.get("Loc Elevation"),
        "temperature_c": fields.get("Temperature Int") or fields.get("Temperature Ext"),
        "humidity_percent": fields.get("Humidity"),
        "battery": fields.get("OAD|Battery Voltage"),
        "gain": gain[1] if gain else fields.get("WA|Song Meter|Gain") or fields.get("PET|Gain"),
        "time_expansion": expansion if expansion not in ("1", "1.0") else None,
        "deployment_id": fields.get("OAD|Deployment ID"),
        "original_name": fields.get("Original Filename"),
        "note": fields.get("Note"),
        "raw_time": fields.get("Timestamp"),
    }
    reading = _iso_reading(fields.get("Timestamp", ""), "guano")
    return HeaderClues(reading, recorder or None, fields.get("Serial") or None, _filled(metadata))


# AudioMoth: one English sentence in LIST/INFO/ICMT, whose wording changed from firmware to firmware

_AUDIOMOTH = re.compile(
    r"Recorded at (?P<H>\d\d):(?P<M>\d\d):(?P<S>\d\d)(?:\.(?P<f>\d{1,6}))? (?P<d>\d\d)/(?P<m>\d\d)/(?P<Y>\d{4})"
    r"(?: \(UTC(?:(?P<sign>[+-])(?P<oh>\d{1,2})(?::(?P<om>\d\d))?)?\))?"
    r" (?:during deployment (?P<deployment>[0-9A-F]{16})|by AudioMoth (?P<device>[0-9A-F]{16}))"
)
_GAIN = re.compile(r"at (?:gain setting (\d)|([a-z-]+) gain)")
_BATTERY = re.compile(r"battery (?:state )?was ((?:less than |greater than )?\d+\.\d+V)")
_TEMPERATURE = re.compile(r"temperature was (-?\d+\.\d+)C")
_STOPPED = re.compile(r"(?:Recording (?:stopped|cancelled before completion)) ?((?:due to|by) [^.]+)?")


def _audiomoth(match: re.Match[str], comment: str) -> HeaderClues:
    local = moment([match[part] for part in ("Y", "m", "d", "H", "M", "S")], match["f"] or "")
    # firmware 1.0.0 wrote no zone: the clock was always UTC then
    offset_s = 0 if match["sign"] is None else parse_offset(f"{match['sign']}{match['oh']:>02}{match['om'] or '00'}")
    reading = None
    if local is not None and offset_s is not None:
        reading = Reading(local, len(match["f"] or ""), offset_s, "audiomoth comment", FREE_RUNNING_NS, "header")
    gain, battery, temperature, stopped = (found.search(comment) for found in (_GAIN, _BATTERY, _TEMPERATURE, _STOPPED))
    metadata = {
        "gain": (gain[1] or gain[2]) if gain else None,
        "battery": battery[1] if battery else None,
        "temperature_c": temperature[1] if temperature else None,
        "stopped": (stopped[1] or "before completion") if stopped else None,
        "deployment_id": match["deployment"],
        "comment": comment,
    }
    return HeaderClues(reading, "AudioMoth", match["device"], _filled(metadata))


def _list_info(content: bytes) -> dict[str, str]:
    out: dict[str, str] = {}
    at = 4
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        out.setdefault(content[at : at + 4].decode("latin-1"), _text(content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return out


# Wildlife Acoustics: numbered fields (id uint16, length uint32), not padded

_WAMD = {1: "model", 2: "serial", 3: "firmware", 4: "prefix", 5: "time", 6: "gps", 18: "microphone", 19: "sensitivity"}
_WAMD |= {21: "temperature", 23: "humidity"}


def _wamd(content: bytes) -> HeaderClues:
    fields: dict[str, str] = {}
    expansion = 1
    at = 0
    while at + 6 <= len(content):
        number, size = int.from_bytes(content[at : at + 2], "little"), int.from_bytes(content[at + 2 : at + 6], "little")
        value = content[at + 6 : at + 6 + size]
        if number in _WAMD:
            fields.setdefault(_WAMD[number], _text(value))
        elif number == 15 and size == 2:
            expansion = int.from_bytes(value, "little")
        at += 6 + size
    metadata = {
        "firmware": fields.get("firmware"),
        "prefix": fields.get("prefix"),
        "position": _wamd_position(fields.get("gps", "")),
        "microphone": fields.get("microphone"),
        "microphone_sensitivity": fields.get("sensitivity"),
        "temperature_c": fields.get("temperature", "").removesuffix("C"),
        "humidity_percent": fields.get("humidity"),
        "time_expansion": str(expansion) if expansion > 1 else None,
        "raw_time": fields.get("time"),
    }
    recorder = f"Wildlife Acoustics {fields.get('model', '')}".strip()
    return HeaderClues(_iso_reading(fields.get("time", ""), "wamd"), recorder, fields.get("serial") or None, _filled(metadata))


def _wamd_position(text: str) -> str | None:
    """ "WGS84,42.6,N,71.6,W[,altitude]" as "42.6 -71.6"; the first part is empty in old files."""
    match = re.match(r"[^,]*, *(\d+(?:\.\d+)?), *([NS]), *(\d+(?:\.\d+)?), *([EW])", text)
    if match is None:
        return None
    return f"{'-' if match[2] == 'S' else ''}{match[1]} {'-' if match[4] == 'W' else ''}{match[3]}"


# Frontier Labs: tags of a FLAC file


def _frontier_labs(comments: Mapping[str, str]) -> HeaderClues:
    reading = _iso_reading(comments.get("recordingstart", ""), "frontier labs comment")
    synced = _iso_reading(comments.get("lasttimesync", ""), "frontier labs comment")
    if reading is not None and synced is not None and reading.offset_s is not None and synced.offset_s is not None:
        since = reading.local - synced.local - timedelta(seconds=reading.offset_s - synced.offset_s)
        if since >= timedelta(0):  # by satellite, then drifting
            uncertainty_ns = GPS_NS + round(since.total_seconds() * _DRIFT * 1e9)
            reading = Reading(reading.local, reading.digits, reading.offset_s, reading.provenance, uncertainty_ns, "header")
    metadata = {
        "firmware": comments.get("sensorfirmwareversion"),
        "battery": comments.get("batterylevel"),
        "position": comments.get("sensorlocation"),
        "gain": comments.get("channelgain"),
        "microphone": comments.get("microphonetype"),
        "last_time_sync": comments.get("lasttimesync"),
        "raw_time": comments.get("recordingstart"),
    }
    return HeaderClues(reading, "Frontier Labs", comments.get("sensoruid"), _filled(metadata))


# Broadcast WAV (EBU Tech 3285)


def _bext(content: bytes, sample_rate_hz: int) -> HeaderClues:
    """Believed only when the date and the sample count since midnight tell the same time: recorders write both, editors rarely do."""
    if len(content) < 346:
        return HeaderClues()
    originator, reference = _text(content[256:288]), _text(content[288:320])
    date, time = _text(content[320:330]), _text(content[330:338])
    match = re.fullmatch(r"(\d{4})[-_:. ](\d\d)[-_:. ](\d\d) (\d\d)[-_:. ](\d\d)[-_:. ](\d\d)", f"{date} {time}")
    local = None if match is None else moment(match.groups())
    since_midnight = int.from_bytes(content[338:346], "little")
    metadata = _filled({"originator": originator, "originator_reference": reference, "raw_time": f"{date} {time}".strip()})
    if local is None:
        return HeaderClues(None, None, None, metadata)
    seconds = local.hour * 3600 + local.minute * 60 + local.second
    if abs(since_midnight - seconds * sample_rate_hz) > 2 * sample_rate_hz:
        return HeaderClues(None, None, None, metadata)
    metadata["time_reference"] = str(since_midnight)
    return HeaderClues(Reading(local, 0, None, "bext", FREE_RUNNING_NS), originator or None, None, metadata)
