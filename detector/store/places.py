"""Stations, deployments, sources and runs: made once, and brought up to date when the settings say something else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone

from sqlite_utils import Database

from detector.config import DeploymentSettings, StationSettings
from detector.store.rows import RunInfo
from detector.store.thresholds import add_card_thresholds


def ensure_station(db: Database, settings: StationSettings) -> int:
    """Id of the station of this name."""
    facts = {"latitude": settings.latitude, "longitude": settings.longitude, "time_zone": settings.time_zone}
    return ensure(db, "station", {"name": settings.name}, facts)


def ensure_deployment(db: Database, station_id: int, settings: DeploymentSettings) -> int:
    """Id of the deployment of this name at the station."""
    facts = settings.model_dump(exclude={"name"})
    return ensure(db, "deployment", {"station_id": station_id, "name": settings.name}, facts)


def ensure_source(db: Database, deployment_id: int, kind: str, channel: str, name: str) -> int:
    """Id of a source."""
    return ensure(db, "source", {"deployment_id": deployment_id, "kind": kind, "name": name, "channel": channel}, {})


def ensure_run(db: Database, run: RunInfo) -> None:
    """Note a run, its classes, and the thresholds of its card."""
    if find(db, "run", {"run_uuid": run.run_id}) is not None:
        return
    now_ns = time.time_ns()
    row = {
        "run_uuid": run.run_id,
        "bundle": run.bundle,
        "bundle_hash": run.bundle_hash,
        "settings": run.settings_json,
        "algorithm_version": run.algorithm_version,
        "analysis_rate_hz": run.analysis_rate_hz,
        "hop_samples": run.hop_samples,
        "floor": run.floor,
        "created_ns": now_ns,
        "created_utc": created_utc(now_ns),
    }
    run_id = insert(db, "run", row)
    for info in run.classes:
        classes = {"run_id": run_id, "head": info.head, "label": info.label, "card_threshold": info.threshold}
        insert(db, "run_class", {**classes, "low_hz": info.low_hz, "high_hz": info.high_hz})
    add_card_thresholds(db, run, now_ns)


def ensure(db: Database, table: str, key: Mapping[str, object], facts: Mapping[str, object]) -> int:
    """Id of the row with this key; made when absent, changed only where its facts differ."""
    found = find(db, table, key)
    if found is None:
        return insert(db, table, {**key, **facts})
    if facts:
        settings = ", ".join(f"{name} = ?" for name in facts)
        differs = " OR ".join(f"{name} IS NOT ?" for name in facts)
        values = list(facts.values())
        db.execute(f"UPDATE {table} SET {settings} WHERE {table}_id = ? AND ({differs})", [*values, found, *values])
    return found


def find(db: Database, table: str, key: Mapping[str, object]) -> int | None:
    """Id of the row with this key, or None."""
    where = " AND ".join(f"{name} = ?" for name in key)
    row = db.execute(f"SELECT {table}_id FROM {table} WHERE {where}", list(key.values())).fetchone()
    return None if row is None else int(row[0])


def insert(db: Database, table: str, row: Mapping[str, object]) -> int:
    """Insert one row and give its rowid."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
    return int(cursor.lastrowid or 0)


def created_utc(now_ns: int) -> str:
    """A wall-clock time as ISO 8601, for columns that say when a row was made."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
