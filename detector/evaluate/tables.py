"""Reading tables of labels, strictly: what cannot be understood is an error with its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from detector.errors import LabelError
from detector.evaluate.labels import Label, LabelTable

LABEL_FILES = (".txt", ".csv", ".tsv")
_RAVEN_LABELS = ("annotation", "label", "class", "species", "species code", "call type", "common name", "tags", "type", "sound type")
_RAVEN_ENDING = re.compile(r"(\.Table\.\d+)?(\.selections?)?\.(txt|tsv)$", re.IGNORECASE)


def read_labels(path: Path, label_column: str | None = None) -> LabelTable:
    """Labels of a table, or of all tables (.txt, .csv, .tsv) under a folder; the kind of table is seen from its content.

    Parameters
    ----------
    path : Path
    label_column : str or None
        Column of a Raven table that holds the label; None takes the first of the usual ones.

    Raises
    ------
    LabelError
        If a table cannot be read or understood, with its line.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in LABEL_FILES and file.is_file())
        if not files:
            raise LabelError(f"no table of labels in {path}", f"tables end with {', '.join(LABEL_FILES)}")
    else:
        files = [path]
    tables = [_read_table(file, label_column) for file in files]
    recordings = dict.fromkeys(name for table in tables for name in table.recordings)
    return LabelTable(tuple(label for table in tables for label in table.labels), tuple(recordings))


def _read_table(path: Path, label_column: str | None) -> LabelTable:
    text = _decode(path)
    header = text.split("\n", 1)[0]
    if "begin time (s)" in header.lower():
        return _read_raven(path, text, label_column)
    if path.suffix.lower() == ".csv" or header.lower().startswith("file,"):
        return _read_csv(path, text)
    return _read_audacity(path, text)


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LabelError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 text (byte {error.start})", "save it again as UTF-8") from error
    if "\0" in text:
        raise LabelError(f"{path} is not a text file", "give a Raven or Audacity table, or a CSV file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_csv(path: Path, text: str) -> LabelTable:
    rows = _rows(path, text)
    header = [name.strip().lower() for name in next(rows, (1, []))[1]]
    missing = [name for name in ("file", "start_s", "end_s", "label") if name not in header]
    if missing:
        semicolons = ";" in "".join(header)
        hint = "separate columns by commas, not semicolons" if semicolons else "the header is file,start_s,end_s,low_hz,high_hz,label"
        raise LabelError(f"{path} line 1: no column {', '.join(missing)}", hint)
    labels = []
    for number, row in rows:
        where = f"{path} line {number}"
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise LabelError(f"{where}: {len(row)} columns, the header has {len(header)}", "numbers need a point, not a decimal comma")
        cells = dict(zip(header, row, strict=True))
        start, end = _span(cells["start_s"], cells["end_s"], where)
        low, high = (_frequency(cells.get(name, ""), where) for name in ("low_hz", "high_hz"))
        if not cells["file"].strip():
            raise LabelError(f"{where}: no file is named", "write the name of the recording into the column file")
        labels.append(Label(cells["file"].strip(), start, end, cells["label"].strip(), low, high))
    return LabelTable(tuple(labels), tuple(dict.fromkeys(label.recording for label in labels)))


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise LabelError(f"{path} line {rows.line_num}: {error}", "check the quotes in that line") from error


def _read_audacity(path: Path, text: str) -> LabelTable:
    """Start, end and label by tabs; a line that begins with a backslash holds the band of the label before it."""
    recording = path.stem
    labels: list[Label] = []
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        cells = line.split("\t")
        if cells[0] == "\\":
            if len(cells) < 3 or not labels:
                raise LabelError(f"{where}: a band without a label", "export the label track from Audacity again")
            low, high = (_frequency(cell, where) for cell in cells[1:3])
            last = labels.pop()
            labels.append(Label(last.recording, last.start_s, last.end_s, last.label, low, high))
            continue
        if len(cells) < 2:
            raise LabelError(f"{where}: {line[:60]!r} is not start, end and label", "columns are separated by tabs")
        start, end = _span(cells[0], cells[1], where)
        labels.append(Label(recording, start, end, cells[2].strip() if len(cells) > 2 else ""))
    return LabelTable(tuple(labels), (recording,))


def _read_raven(path: Path, text: str, label_column: str | None) -> LabelTable:
    lines = text.split("\n")
    header = [name.strip() for name in lines[0].split("\t")]
    columns = {name.lower(): i for i, name in enumerate(header)}
    label_at = _raven_label_column(path, header, columns, label_column)
    rows: list[tuple[int, list[str]]] = []
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        cells += [""] * (len(header) - len(cells))
        if "view" in columns and "selection" in columns:  # one selection has a row for each view
            key = cells[columns["selection"]]
            if key in seen:
                continue
            seen.add(key)
        rows.append((number, cells))
    named = next((columns[name] for name in ("begin path", "begin file") if name in columns), None)
    _refuse_positions_in_a_row_of_files(path, columns, named, rows)
    labels = [_raven_label(path, number, cells, columns, named, label_at) for number, cells in rows]
    names = tuple(dict.fromkeys(label.recording for label in labels))
    return LabelTable(tuple(labels), names if names else (_table_recording(path),))


def _raven_label(path: Path, number: int, cells: Sequence[str], columns: dict[str, int], named: int | None, label_at: int | None) -> Label:
    where = f"{path} line {number}"

    def cell(name: str) -> str:
        return cells[columns[name]] if name in columns else ""

    start, end = _span(cell("begin time (s)"), cell("end time (s)"), where)
    if named is not None and cell("file offset (s)").strip():
        offset = _number(cell("file offset (s)"), where)
        start, end = offset, offset + (end - start)
    recording = cells[named].strip() if named is not None else ""
    low, high = (_frequency(cell(name), where) for name in ("low freq (hz)", "high freq (hz)"))
    label = cells[label_at].strip() if label_at is not None else ""
    return Label(recording if recording else _table_recording(path), start, end, label, low, high)


def _raven_label_column(path: Path, header: Sequence[str], columns: dict[str, int], wanted: str | None) -> int | None:
    if "end time (s)" not in columns:
        raise LabelError(f"{path} line 1: no column End Time (s)", "export the selection table with its default columns")
    if wanted is not None:
        if wanted.lower() not in columns:
            raise LabelError(f"{path} line 1: no column {wanted!r}", f"columns here: {', '.join(header)}")
        return columns[wanted.lower()]
    return next((columns[name] for name in _RAVEN_LABELS if name in columns), None)


def _refuse_positions_in_a_row_of_files(path: Path, columns: dict[str, int], named: int | None, rows: list[tuple[int, list[str]]]) -> None:
    """Begin Time counts from the first of several files that were opened as one; only File Offset says where in its own file."""
    if named is None or "file offset (s)" in columns:
        return
    names = {cells[named] for _, cells in rows}
    if len(names) > 1:
        message = f"{path} names {len(names)} recordings but has no column File Offset (s)"
        raise LabelError(message, "add that column in Raven and save again")


def _table_recording(path: Path) -> str:
    """Name of the recording that a table without one belongs to: its own, less Raven's endings."""
    return _RAVEN_ENDING.sub("", path.name)


def _span(start_text: str, end_text: str, where: str) -> tuple[float, float]:
    start, end = _number(start_text, where), _number(end_text, where)
    if start < 0 or end < start:
        raise LabelError(f"{where}: an event from {start} to {end} s", "the start is at least 0 and not after the end")
    return start, end


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        comma = re.fullmatch(r"\s*-?\d+,\d+\s*", text) is not None
        hint = "use a point, not a decimal comma" if comma else "times are seconds"
        raise LabelError(f"{where}: {text!r} is not a number", hint) from error
    if not math.isfinite(value):
        raise LabelError(f"{where}: {text!r} is not a number", "times are seconds")
    return value


def _frequency(text: str, where: str) -> float | None:
    """Hertz; empty, and Audacity's -1, mean that the band is not known."""
    if not text.strip():
        return None
    value = _number(text, where)
    return None if value < 0 else value
