"""Recordings: which files are known, which have changed, and which hold audio that is known under another path."""

from __future__ import annotations

import json
import os
from sys import intern
from typing import Any

from sqlite_utils import Database

from detector.store.places import insert
from detector.store.rows import KnownRecording, Row, path_text, recording_id
from detector.store.switching import deactivate_recording
from detector.types import BadRecording, EffortState, Recording, StartTime


def known(db: Database, run_id: str) -> dict[str, KnownRecording]:
    """Every path with what is known of its present content."""
    rows = db.execute(
        """SELECT recording.path, recording_uuid, size_bytes, mtime_ns, audio_hash, run_recording.chain_hash,
            start_ns, start_local, utc_offset_s, start_provenance, start_uncertainty_ns, zone_provenance
        FROM recording LEFT JOIN run_recording ON run_recording.recording_id = recording.recording_id
            AND run_recording.run_id = (SELECT run_id FROM run WHERE run_uuid = ?)
        WHERE recording.is_current = 1""",
        [run_id],
    )
    return dict(_known(*row) for row in rows)


def _known(
    path: str, uuid: str, size_bytes: int, mtime_ns: int, audio_hash: str | None, chain_hash: str | None, *start: Any
) -> tuple[str, KnownRecording]:
    """One path. Archives have a hundred thousand of them, so words that come again and again are kept once."""
    utc_ns, local, offset_s, provenance, uncertainty_ns, zone_provenance = start
    began = StartTime(utc_ns, local, offset_s, intern(provenance), uncertainty_ns, intern(zone_provenance))
    chain = audio_hash if chain_hash == audio_hash else chain_hash
    return path, KnownRecording(uuid, size_bytes, mtime_ns, audio_hash, chain, began)


def add(db: Database, deployment_id: int, recording: Recording, audio_hash: str) -> None:
    """Note a good recording: new, as it was, changed, moved, or a copy of another."""
    uuid = recording_id(recording.path, audio_hash)
    facts = _facts(recording)
    found = db.execute("SELECT recording_id, is_current FROM recording WHERE recording_uuid = ?", [uuid]).fetchone()
    if found is not None and found[1]:
        _update(db, found[0], facts)
        db.execute("DELETE FROM effort WHERE recording_id = ?", [found[0]])
        return
    _retire(db, facts["path"])
    twin = db.execute(
        "SELECT recording_id, path FROM recording WHERE audio_hash = ? AND is_current = 1 AND duplicate_of IS NULL ORDER BY recording_id",
        [audio_hash],
    ).fetchone()
    row = {**facts, "recording_uuid": uuid, "audio_hash": audio_hash, "is_current": 1, "duplicate_of": None if twin is None else twin[0]}
    if found is None and twin is not None and _has_gone(twin[1]):
        _update(db, twin[0], {**row, "duplicate_of": None})
        return
    if found is None:
        key = insert(db, "recording", {**row, "deployment_id": deployment_id})
    else:
        key = found[0]
        _update(db, key, row)
    if twin is None:
        _inherit_from_past(db, key, audio_hash)


def add_bad(db: Database, deployment_id: int, bad: BadRecording) -> None:
    """Note a file that could not be used, and that its audio is lost."""
    path = path_text(bad.path)
    facts = {"size_bytes": bad.size_bytes, "mtime_ns": bad.mtime_ns}
    present = "SELECT recording_id, audio_hash, size_bytes, mtime_ns FROM recording WHERE path = ? AND is_current = 1"
    now = db.execute(present, [path]).fetchone()
    if now is not None and now[1] is not None and now[2:] == (bad.size_bytes, bad.mtime_ns):
        # The file is the one that was good before; what failed is this attempt to read it.
        key = now[0]
    else:
        if now is not None and now[1] is not None:
            _retire(db, path)
        key = _bad_row(db, deployment_id, path, {**facts, "bad_because": bad.reason, "hint": bad.hint, "is_current": 1})
    if db.execute("SELECT 1 FROM effort WHERE recording_id = ? AND reason = ?", [key, bad.reason]).fetchone() is None:
        db.execute("DELETE FROM effort WHERE recording_id = ?", [key])
        insert(db, "effort", {"recording_id": key, "state": EffortState.LOST.value, "reason": bad.reason, "count": 0})


def _bad_row(db: Database, deployment_id: int, path: str, facts: Row) -> int:
    """Id of the one row that a path has for its times of being bad."""
    uuid = recording_id(path, "")
    found = db.execute("SELECT recording_id FROM recording WHERE recording_uuid = ?", [uuid]).fetchone()
    if found is not None:
        _update(db, found[0], facts)
        return int(found[0])
    unknown = {"start_provenance": "unknown", "zone_provenance": "unknown", "is_gapless": 0, "metadata": "{}"}
    return insert(db, "recording", {"recording_uuid": uuid, "deployment_id": deployment_id, "path": path, **unknown, **facts})


def _retire(db: Database, path: object) -> None:
    """The file at this path has other content now. What was found in the old counts no more, unless a copy of it is known."""
    found = db.execute("SELECT recording_id, duplicate_of FROM recording WHERE path = ? AND is_current = 1", [path]).fetchone()
    if found is None:
        return
    key = found[0]
    db.execute("UPDATE recording SET is_current = 0 WHERE recording_id = ?", [key])
    if found[1] is not None:
        return
    heir = db.execute("SELECT min(recording_id) FROM recording WHERE duplicate_of = ? AND is_current = 1", [key]).fetchone()[0]
    if heir is None:
        deactivate_recording(db, key)
        return
    db.execute("UPDATE recording SET duplicate_of = ? WHERE duplicate_of = ?", [heir, key])
    db.execute("UPDATE recording SET duplicate_of = NULL WHERE recording_id = ?", [heir])
    _inherit(db, heir, key)


def _inherit_from_past(db: Database, key: int, audio_hash: str) -> None:
    """What was found in the same audio when it lay under a path that has other content now belongs to this recording."""
    past = "SELECT recording_id FROM recording WHERE audio_hash = ? AND is_current = 0 AND duplicate_of IS NULL AND recording_id <> ?"
    for (ancestor,) in db.execute(past, [audio_hash, key]).fetchall():
        _inherit(db, key, ancestor)


def _inherit(db: Database, heir: int, key: int) -> None:
    """Segments and events of one recording become those of another with the same audio."""
    db.execute("UPDATE OR IGNORE segment_recording SET recording_id = ? WHERE recording_id = ?", [heir, key])
    db.execute("UPDATE event SET recording_id = ? WHERE recording_id = ?", [heir, key])


def _has_gone(path: str) -> bool:
    """Whether a known file is no longer there, so that its copy is the same file moved. Escaped names cannot be looked up."""
    return "\\x" not in path and not os.path.lexists(path)


def _update(db: Database, key: int, values: Row) -> None:
    """Change a row of table recording, only where it differs."""
    settings = ", ".join(f"{name} = ?" for name in values)
    differs = " OR ".join(f"{name} IS NOT ?" for name in values)
    given = list(values.values())
    db.execute(f"UPDATE recording SET {settings} WHERE recording_id = ? AND ({differs})", [*given, key, *given])


def start_facts(start: StartTime) -> Row:
    """Columns of table recording that say when it began."""
    return {
        "start_ns": start.utc_ns,
        "start_local": start.local,
        "utc_offset_s": start.utc_offset_s,
        "start_provenance": start.provenance,
        "start_uncertainty_ns": start.uncertainty_ns,
        "zone_provenance": start.zone_provenance,
    }


def _facts(recording: Recording) -> Row:
    return {
        "path": path_text(recording.path),
        "size_bytes": recording.size_bytes,
        "mtime_ns": recording.mtime_ns,
        "container": recording.container,
        "encoding": recording.encoding,
        "sample_rate_hz": recording.sample_rate_hz,
        "channels": recording.channels,
        "n_samples": recording.n_samples,
        "promised_samples": recording.promised_samples,
        "duration_s": recording.n_samples / recording.sample_rate_hz,
        **start_facts(recording.start),
        "recorder": recording.recorder,
        "device": recording.device,
        "is_gapless": int(recording.gapless),
        "metadata": json.dumps(dict(recording.metadata), ensure_ascii=False, sort_keys=True),
    }
