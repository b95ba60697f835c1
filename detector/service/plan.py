"""What a replay has to do: look at the files, leave out what is done, join what is one recording."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from detector.audio.archive import chain_recordings, find_recordings, inspect_recording
from detector.config import Settings
from detector.service.listener import Job
from detector.store.rows import KnownRecording, path_text
from detector.types import BadRecording, Recording, StartTime

INSPECTORS = 8
"""Headers are read in threads: on a card or network drive the wait is for the disk."""


@dataclass(slots=True)
class ReplayPlan:
    """The work of one replay.

    Attributes
    ----------
    jobs : list of list of Job
        One inner list per chain, one job per channel, in the order of paths.
    unchanged : list of KnownRecording
        Recordings that this run has finished, and bad ones that are as they were.
    bad : list of BadRecording
        Found bad now.
    changed : list of Path
        Files with other content than when they were last analysed.
    restamped : list of (str, StartTime)
        Ids of unchanged recordings whose start time is read otherwise now, because a setting says more than before.
    """

    jobs: list[list[Job]] = field(default_factory=list)
    unchanged: list[KnownRecording] = field(default_factory=list)
    bad: list[BadRecording] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    restamped: list[tuple[str, StartTime]] = field(default_factory=list)


def plan_replay(paths: Sequence[str | Path], settings: Settings, known: Mapping[str, KnownRecording]) -> ReplayPlan:
    """Decide what to do with each recording.

    A folder in which every file is known, unchanged and finished is not opened at all; so a second replay of a large archive
    costs one look at each file's size and date.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, folders, patterns.
    settings : Settings
    known : mapping
        From `Store.known_recordings`, for the run that is about to go on.

    Raises
    ------
    AudioError
        If a path matches nothing.
    """
    plan = ReplayPlan()
    chains_before = _chains(known)
    inspect = partial(inspect_recording, zone=settings.station.zone, name_pattern=settings.recordings.name_pattern)
    with ThreadPoolExecutor(INSPECTORS) as pool:
        for folder in _by_folder(find_recordings(paths)):
            stands = [known.get(path_text(path)) for path in folder]
            if all(_is_finished(path, before, settings) for path, before in zip(folder, stands, strict=True)):
                plan.unchanged += [before for before in stands if before is not None]
                continue
            _plan_folder(plan, list(pool.map(inspect, folder)), settings, known, chains_before)
    return plan


def _plan_folder(
    plan: ReplayPlan,
    inspected: Sequence[Recording | BadRecording],
    settings: Settings,
    known: Mapping[str, KnownRecording],
    chains_before: Mapping[str, frozenset[str]],
) -> None:
    good = []
    for item in inspected:
        before = known.get(path_text(item.path))
        same = before is not None and (before.size_bytes, before.mtime_ns) == (item.size_bytes, item.mtime_ns)
        if before is not None and not same:
            plan.changed.append(item.path)
        if isinstance(item, Recording):
            good.append(item)
        elif same and before is not None and before.audio_hash is None:
            plan.unchanged.append(before)
        else:
            plan.bad.append(item)
    for chain in chain_recordings(good, settings.recordings.gapless):
        finished = _finished_before(chain, known, chains_before)
        if finished:
            plan.unchanged += finished
            pairs = zip(finished, chain, strict=True)
            plan.restamped += [(before.recording_id, now.start) for before, now in pairs if before.start != now.start]
        else:
            plan.jobs.append([Job(chain, channel) for channel in _channels(settings.recordings.channel, chain)])


def _finished_before(
    chain: Sequence[Recording], known: Mapping[str, KnownRecording], chains_before: Mapping[str, frozenset[str]]
) -> list[KnownRecording]:
    """What is known of the chain's recordings when this very chain was finished; else nothing."""
    stands = []
    for recording in chain:
        before = known.get(path_text(recording.path))
        if before is None or before.chain_hash is None:
            return []
        if (before.size_bytes, before.mtime_ns) != (recording.size_bytes, recording.mtime_ns):
            return []
        stands.append(before)
    names = frozenset(path_text(recording.path) for recording in chain)
    hashes = {before.chain_hash for before in stands}
    first = stands[0].chain_hash
    same_chain = len(hashes) == 1 and first is not None and (len(chain) == 1 or chains_before[first] == names)
    alone = len(chain) > 1 or stands[0].chain_hash == stands[0].audio_hash
    return stands if same_chain and alone else []


def _chains(known: Mapping[str, KnownRecording]) -> dict[str, frozenset[str]]:
    """Paths of every chain that was finished, by its hash."""
    members: defaultdict[str, set[str]] = defaultdict(set)
    for path, before in known.items():
        if before.chain_hash is not None:
            members[before.chain_hash].add(path)
    return {chain_hash: frozenset(paths) for chain_hash, paths in members.items()}


def _is_finished(path: Path, before: KnownRecording | None, settings: Settings) -> bool:
    """Whether a file is as it was and its analysis, alone, is finished, or it was bad and is as it was.

    Where the start time hangs on the settings, the header is read again: they may say something else now.
    """
    if before is None or (before.audio_hash is not None and before.chain_hash != before.audio_hash):
        return False
    may_say_more = settings.station.zone is not None or settings.recordings.name_pattern is not None
    if before.start.zone_provenance == "config" or (before.start.utc_ns is None and may_say_more):
        return False
    try:
        status = os.stat(path)
    except OSError:
        return before.audio_hash is None
    return (status.st_size, status.st_mtime_ns) == (before.size_bytes, before.mtime_ns)


def _channels(choice: Literal["mix", "each"] | int, chain: Sequence[Recording]) -> list[int | Literal["mix"]]:
    if choice == "each":
        return list(range(1, chain[0].channels + 1))
    return [choice]


def _by_folder(paths: Sequence[Path]) -> Iterator[list[Path]]:
    folders: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    yield from folders.values()
