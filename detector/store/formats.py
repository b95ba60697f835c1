"""How an event is written in each format: Raven selection tables, Audacity labels, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.store.events import COLUMNS
from detector.store.rows import Row

RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin Path",
    "File Offset (s)",
    "Delta Time (s)",
    "Annotation",
    "Confidence",
    "Start UTC",
    "Event Id",
)


@dataclass(frozen=True, slots=True)
class Placed:
    """An event and where its recording begins in the table.

    Attributes
    ----------
    row : dict
        Columns of `detector.store.events.COLUMNS`.
    number : int
        From 1, in the table.
    offset_s : float
        Length of the recordings before this one, when a table is of several that are opened as one sequence; else 0.
    """

    row: Row
    number: int
    offset_s: float


class Format(Protocol):
    """What a format must have.

    Attributes
    ----------
    ending : str
        Of file names.
    header : str
        Before the first event; also of a table without events.
    """

    ending: str
    header: str

    def write(self, event: Placed) -> str:
        """The event as text, line end included."""


class Raven:
    """Raven selection table: tab separated, nothing quoted.

    Begin Time counts from the start of the sequence of recordings, File Offset from the start of the file.
    """

    ending = ".selections.txt"
    header = "\t".join(RAVEN_COLUMNS) + "\n"

    def write(self, event: Placed) -> str:
        """One line."""
        row = event.row
        nyquist = row["sample_rate_hz"] / 2
        low = 0.0 if row["low_hz"] is None else min(row["low_hz"], nyquist)
        high = nyquist if row["high_hz"] is None else min(row["high_hz"], nyquist)
        fields = (
            str(event.number),
            "Spectrogram 1",
            row["channel"] if row["channel"].isdecimal() else "1",
            _time(event.offset_s + row["start_s"]),
            _time(event.offset_s + row["end_s"]),
            f"{low:.3f}",
            f"{high:.3f}",
            one_line(row["recording"]),
            _time(row["start_s"]),
            _time(row["end_s"] - row["start_s"]),
            # Raven quotes nothing, but most other readers take a leading double quote for quoting.
            one_line(row["label"]).replace('"', "'"),
            f"{row['confidence']:.6f}",
            row["start_utc"] or "",
            row["event_uuid"],
        )
        return "\t".join(fields) + "\n"


class Audacity:
    """Audacity label track, with a second line for the band where it is known."""

    ending = ".txt"
    header = ""

    def write(self, event: Placed) -> str:
        """One line, or two."""
        row = event.row
        line = f"{_time(event.offset_s + row['start_s'])}\t{_time(event.offset_s + row['end_s'])}\t{one_line(row['label'])}\n"
        if row["low_hz"] is None or row["high_hz"] is None:
            return line
        return f"{line}\\\t{row['low_hz']:.6f}\t{row['high_hz']:.6f}\n"


class Csv:
    """Comma separated, quoted where needed, with every column."""

    ending = ".csv"
    header = ",".join(COLUMNS) + "\n"

    def write(self, event: Placed) -> str:
        """One line, or several when a label holds line breaks."""
        text = io.StringIO()
        row = {**event.row, "start_s": _time(event.row["start_s"]), "end_s": _time(event.row["end_s"])}
        csv.writer(text, lineterminator="\n").writerow([row[name] for name in COLUMNS])
        return text.getvalue()


class JsonLines:
    """One JSON object a line, with every column."""

    ending = ".jsonl"
    header = ""

    def write(self, event: Placed) -> str:
        """One line."""
        return json.dumps(event.row, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Format] = {"raven": Raven(), "audacity": Audacity(), "csv": Csv(), "json": JsonLines()}


def one_line(text: str) -> str:
    """Text that cannot break a table of tabs and lines: everything that ends a line or moves a column becomes a space."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)


def _time(seconds: float) -> str:
    return f"{seconds:.6f}"
