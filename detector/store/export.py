"""Writing events to files: whole or not at all, and never over a file that says something else."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sqlite_utils import Database

from detector.errors import ExportError
from detector.store.events import EventFilter, count_without_time, iterate_events
from detector.store.formats import FORMATS, Placed
from detector.store.reader import open_reader

LONGEST_NAME_BYTES = 200


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written.

    Attributes
    ----------
    files : int
    events : int
    without_time : int
        Events that a limit in time left out because their time is not known.
    """

    files: int
    events: int
    without_time: int


@dataclass(frozen=True, slots=True)
class _Recording:
    path: str
    duration_s: float


def write_export(
    database: Path, format_name: str, output: Path, wanted: EventFilter | None = None, per_recording: bool = False, overwrite: bool = False
) -> ExportSummary:
    """Write events of a database.

    Parameters
    ----------
    database : Path
    format_name : str
        "raven", "audacity", "csv" or "json" (lines).
    output : Path
        A file; with ``per_recording`` a folder, made when absent. Every recording gets a table, one without events an empty one.
    wanted : EventFilter, optional
        None: all detections at the thresholds in force.
    per_recording : bool
        Otherwise one table holds all, and the times of Raven and Audacity count as if all recordings were opened as one
        sequence, in the order of their paths.
    overwrite : bool
        Replace files that are there. Without it a file with other content is an error, and the same content is left as it is.

    Raises
    ------
    ExportError
        If the format is not known, the filter asks for what cannot be, or a file cannot be written.
    StoreError
        If the database cannot be read.
    """
    if format_name not in FORMATS:
        raise ExportError(f"format {format_name!r} is not known", f"formats: {', '.join(FORMATS)}")
    chosen = EventFilter() if wanted is None else wanted
    with open_reader(database) as db:
        recordings = _recordings(db, chosen)
        write = _write_folder if per_recording else _write_one
        files, events = write(db, format_name, output, chosen, recordings, overwrite)
        return ExportSummary(files, events, count_without_time(db, chosen))


def _write_one(
    db: Database, format_name: str, output: Path, wanted: EventFilter, recordings: list[_Recording], overwrite: bool
) -> tuple[int, int]:
    offsets: dict[str, float] = {}
    length = 0.0
    for recording in recordings:
        offsets[recording.path] = length
        length += recording.duration_s
    form = FORMATS[format_name]
    events = iterate_events(db, wanted)
    number = 0
    with _fresh_file(output, overwrite) as stream:
        stream.write(form.header)
        for number, row in enumerate(events, start=1):
            stream.write(form.write(Placed(row, number, offsets[row["recording"]])))
    return 1, number


def _write_folder(
    db: Database, format_name: str, output: Path, wanted: EventFilter, recordings: list[_Recording], overwrite: bool
) -> tuple[int, int]:
    form = FORMATS[format_name]
    events = iterate_events(db, wanted)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make the folder {output}: {error.strerror}", "name another with --output") from error
    names = unique_names([recording.path for recording in recordings], form.ending)
    waiting = next(events, None)
    total = 0
    for recording in recordings:
        number = 0
        with _fresh_file(output / names[recording.path], overwrite) as stream:
            stream.write(form.header)
            while waiting is not None and waiting["recording"] == recording.path:
                number += 1
                stream.write(form.write(Placed(waiting, number, 0.0)))
                waiting = next(events, None)
        total += number
    return len(recordings), total


def unique_names(paths: list[str], ending: str) -> dict[str, str]:
    """A file name for the table of each recording: its own name, and of its folders as many as make it unique.

    Names that differ in case only count as equal, for the sake of disks that do not tell them apart.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        parts = [part for part in Path(path).parts if part != os.sep]
        choices = [Path(path).stem, *("_".join(parts[-depth:]) for depth in range(1, len(parts) + 1))]
        candidates = (_shortened(choice, number) + ending for number in range(len(paths) + 1) for choice in choices)
        name = next(name for name in candidates if name.casefold() not in taken)
        taken.add(name.casefold())
        names[path] = name
    return names


def _shortened(name: str, number: int) -> str:
    """A name that any file system takes, with a number from the second attempt on."""
    short = name.encode("utf-8")[:LONGEST_NAME_BYTES].decode("utf-8", "ignore")
    return short if number == 0 else f"{short}-{number + 1}"


def _recordings(db: Database, wanted: EventFilter) -> list[_Recording]:
    """Recordings that were analysed, in the order in which `iterate_events` comes to them."""
    if wanted.run_id is None:
        analyses, values = "analysis.is_active = 1", []
    else:
        analyses, values = "analysis.state = 'complete' AND run.run_uuid = ?", [wanted.run_id]
    station = ""
    if wanted.station is not None:
        station = " AND station.name = ?"
        values.append(wanted.station)
    rows = db.execute(
        f"""SELECT recording.path, max(recording.duration_s) FROM analysis JOIN run USING (run_id) JOIN station USING (station_id)
        JOIN segment_recording USING (segment_id) JOIN recording USING (recording_id)
        WHERE {analyses}{station} GROUP BY station.name, recording.path ORDER BY station.name, recording.path""",
        values,
    )
    return [_Recording(path, duration_s) for path, duration_s in rows]


@contextmanager
def _fresh_file(path: Path, overwrite: bool) -> Iterator[TextIO]:
    """A file that appears under its name only when it is whole and on disk."""
    if path.is_dir():
        raise ExportError(f"{path} is a folder", "name a file, or ask for one table for each recording")
    partial = path.with_name(f".{path.name[:80]}.{os.getpid()}.tmp")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if path.exists() and not overwrite:
            if not filecmp.cmp(path, partial, shallow=False):
                raise ExportError(f"{path} exists and holds something else", "name another file, or ask to overwrite it")
            return
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}", "does the folder exist, has it space, may you write?") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
