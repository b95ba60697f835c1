"""Which recordings are one unbroken stretch of audio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from detector.audio.names import SECOND_NS
from detector.types import Recording

_RATE_ERROR = 50e-6
"""Sample clocks are off by tens of parts per million, so a long file ends that much earlier or later than its length says."""
LONGEST_CHAIN_S = 6 * 3600
"""A chain is stamped by the clock of its first recording; in six hours a usual oscillator stays within the second that names resolve.
It also bounds what an interrupted replay does again."""
_LAST_NUMBER = re.compile(r"(.*?)(\d+)")
_Key: TypeAlias = tuple[object, ...]


def chain_recordings(recordings: Sequence[Recording], gapless: Literal["auto", "always", "never"]) -> list[tuple[Recording, ...]]:
    """Join recordings that follow each other without losing a sample.

    Only recordings of one folder, recorder, device, rate, channel count, container and encoding, whose names differ in
    digits alone, are ever joined, and nothing is joined to the end of a recording that was cut short.

    - "auto": when both count samples since midnight in a broadcast-WAV header, to the sample and not only to whole
      seconds, and the next begins at exactly the sample where the last ended.
    - "always": when the next starts where the last ends, within the resolution of their start times (1 s for most) and
      50 ppm of the length; when neither start is known, when the number that ends the name goes up by one
      (the setting says that this is so; nothing in the files does).
    - "never": no two.

    A chain that has reached six hours ends there, and the next recording begins another.

    Returns
    -------
    list of tuple of Recording
        Every recording in exactly one chain; chains in the order of their first recordings' places in ``recordings``.
    """
    if gapless == "never":
        return [(recording,) for recording in recordings]
    follows = _is_exact_successor if gapless == "auto" else _is_likely_successor
    groups: dict[_Key, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(_group(recording), []).append(recording)
    chains: list[tuple[Recording, ...]] = []
    for group in groups.values():
        chain: list[Recording] = []
        for recording in sorted(group, key=_order):
            whole = not chain or chain[-1].n_samples >= chain[-1].promised_samples
            full = sum(one.n_samples for one in chain) >= LONGEST_CHAIN_S * recording.sample_rate_hz
            if chain and (full or not (whole and follows(chain[-1], recording))):
                chains.append(tuple(chain))
                chain = []
            chain.append(recording)
        chains.append(tuple(chain))
    place = {id(recording): index for index, recording in enumerate(recordings)}
    return sorted(chains, key=lambda chain: place[id(chain[0])])


def _group(recording: Recording) -> _Key:
    return (
        recording.path.parent,
        recording.path.suffix.lower(),
        re.sub(r"\d+", "0", recording.path.stem),
        recording.recorder,
        recording.device,
        recording.container,
        recording.encoding,
        recording.sample_rate_hz,
        recording.channels,
    )


def _order(recording: Recording) -> tuple[int, int, str, str]:
    """By UTC, by local time, then by name with its number as a number."""
    start = recording.start
    match = _LAST_NUMBER.fullmatch(recording.path.stem)
    name = recording.path.stem if match is None else f"{match[1]}{int(match[2]):020d}"
    if start.utc_ns is not None:
        return (0, start.utc_ns, name, str(recording.path))
    return (1, 0, f"{start.local or ''} {name}", str(recording.path))


def _is_exact_successor(one: Recording, other: Recording) -> bool:
    first, second = (recording.metadata.get("time_reference", "") for recording in (one, other))
    if not (one.gapless and other.gapless and first.isdecimal() and second.isdecimal()):
        return False
    counts_samples = any(int(value) % one.sample_rate_hz for value in (first, second))
    return counts_samples and int(first) + one.n_samples == int(second) and _is_likely_successor(one, other)


def _is_likely_successor(one: Recording, other: Recording) -> bool:
    begin, end = _start_ns(one), _start_ns(other)
    if begin is None and end is None:
        return _is_next_number(one, other)
    if begin is None or end is None or (one.start.utc_ns is None) != (other.start.utc_ns is None):
        return False
    length_ns = one.n_samples * SECOND_NS // one.sample_rate_hz
    tolerance_ns = max(_resolution_ns(one), _resolution_ns(other)) + length_ns * _RATE_ERROR
    return abs(end - begin - length_ns) <= tolerance_ns


def _is_next_number(one: Recording, other: Recording) -> bool:
    first, second = (_LAST_NUMBER.fullmatch(recording.path.stem) for recording in (one, other))
    if first is None or second is None or first[1] != second[1]:
        return False
    return int(first[2]) + 1 == int(second[2])


def _start_ns(recording: Recording) -> int | None:
    start = recording.start
    if start.utc_ns is not None or start.local is None:
        return start.utc_ns
    span = datetime.fromisoformat(start.local[:19]) - datetime(1970, 1, 1)
    fraction = start.local[20:].ljust(9, "0")
    return (span.days * 86_400 + span.seconds) * SECOND_NS + int(fraction)


def _resolution_ns(recording: Recording) -> int:
    """One step of the start time as written: recorders cut it off, so two of them can be one step apart."""
    local = recording.start.local or ""
    return SECOND_NS // int(10 ** len(local[20:]))
