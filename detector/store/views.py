"""The views: what most people query. They hold no data, and every migration makes them anew."""

from __future__ import annotations


def iso_utc(ns: str) -> str:
    """SQL that writes nanoseconds since 1970 as ISO 8601 to the microsecond; also before 1970."""
    second = f"(({ns} - ((({ns} % 1000000000) + 1000000000) % 1000000000)) / 1000000000)"
    micro = f"(((({ns} % 1000000000) + 1000000000) % 1000000000) / 1000)"
    return f"strftime('%Y-%m-%dT%H:%M:%S', {second}, 'unixepoch') || printf('.%06dZ', {micro})"


THRESHOLD_IN_FORCE = """CREATE VIEW threshold_in_force AS
WITH newest AS (
    SELECT * FROM threshold WHERE min_confidence IS NOT NULL AND threshold_id IN (
        SELECT max(threshold_id) FROM threshold GROUP BY bundle_hash, head, label, station_id)
)
SELECT run.run_id, run_class.head, run_class.label, station.station_id, station.name AS station, newest.min_confidence,
    newest.method, newest.chosen_by, newest.threshold_id
FROM run JOIN run_class USING (run_id) CROSS JOIN station
JOIN newest ON newest.threshold_id = (
    SELECT n.threshold_id FROM newest AS n
    WHERE n.bundle_hash = run.bundle_hash AND n.head = run_class.head
        AND (n.label IS NULL OR n.label = run_class.label)
        AND (n.station_id IS NULL OR n.station_id = station.station_id)
    ORDER BY n.label IS NULL, n.station_id IS NULL LIMIT 1)"""


def candidate_select(analyses: str) -> str:
    """The query behind the view candidate, for the analyses that a condition lets through."""
    return f"""WITH force AS MATERIALIZED (SELECT * FROM threshold_in_force)
SELECT event.event_id, event.event_uuid, station.name AS station, recording.path AS recording,
    analysis.head, event.label, event.confidence, force.min_confidence AS threshold, event.start_s, event.end_s,
    {iso_utc("event.start_ns")} AS start_utc,
    strftime('%Y-%m-%dT%H:%M:%f', recording.start_local, event.start_s || ' seconds') AS start_local,
    event.day, strftime('%Y-%m-%dT%H', event.start_ns / 3600000000000 * 3600, 'unixepoch') AS hour_utc, event.low_hz, event.high_hz,
    event.start_ns, event.end_ns, event.logit_mean, event.logit_max, event.logit_top,
    event.n_frames, event.is_linked, segment.channel, event.start_sample, event.end_sample, segment.sample_rate_hz,
    run.bundle, run.run_uuid, segment.segment_uuid, analysis.station_id, event.recording_id, event.analysis_id
FROM event
JOIN analysis ON analysis.analysis_id = event.analysis_id AND {analyses}
JOIN segment ON segment.segment_id = analysis.segment_id
JOIN run ON run.run_id = analysis.run_id
JOIN station ON station.station_id = analysis.station_id
JOIN recording ON recording.recording_id = event.recording_id
LEFT JOIN force ON force.run_id = analysis.run_id AND force.head = analysis.head AND force.label = event.label
    AND force.station_id = analysis.station_id
WHERE event.rejected_because IS NULL"""


CANDIDATE = "CREATE VIEW candidate AS " + candidate_select("analysis.is_active = 1")

DETECTION = "CREATE VIEW detection AS SELECT * FROM candidate WHERE confidence >= threshold"

EFFORT_IN_FORCE = f"""CREATE VIEW effort_in_force AS
SELECT effort.effort_id, station.name AS station, recording.path AS recording, effort.state, effort.reason,
    {iso_utc("effort.start_ns")} AS start_utc, effort.duration_s, effort.count, effort.band_levels_db, effort.start_ns,
    effort.start_sample, effort.n_samples, segment.segment_uuid, run.run_uuid
FROM effort
LEFT JOIN segment ON segment.segment_id = effort.segment_id
LEFT JOIN run ON run.run_id = effort.run_id
LEFT JOIN recording ON recording.recording_id = coalesce(effort.recording_id, (
    SELECT part.recording_id FROM segment_recording AS part
    WHERE part.segment_id = effort.segment_id AND part.offset_samples <= effort.start_sample
    ORDER BY part.offset_samples DESC LIMIT 1))
LEFT JOIN source ON source.source_id = segment.source_id
JOIN deployment ON deployment.deployment_id = coalesce(source.deployment_id, recording.deployment_id)
JOIN station ON station.station_id = deployment.station_id
WHERE EXISTS (SELECT 1 FROM analysis WHERE analysis.segment_id = effort.segment_id AND analysis.run_id = effort.run_id
        AND analysis.is_active = 1)
    OR (effort.segment_id IS NULL AND recording.is_current = 1)"""

EFFORT_BY_HOUR = """CREATE VIEW effort_by_hour AS
WITH RECURSIVE piece (station, state, start_ns, end_ns) AS (
    SELECT station, state, start_ns, start_ns + CAST(round(duration_s * 1e9) AS INTEGER)
    FROM effort_in_force WHERE start_ns IS NOT NULL AND duration_s > 0
    UNION ALL
    SELECT station, state, (start_ns / 3600000000000 + 1) * 3600000000000, end_ns
    FROM piece WHERE (start_ns / 3600000000000 + 1) * 3600000000000 < end_ns
), part AS (
    SELECT station, state, start_ns / 3600000000000 AS hour,
        (min(end_ns, (start_ns / 3600000000000 + 1) * 3600000000000) - start_ns) / 1e9 AS seconds
    FROM piece
)
SELECT station, strftime('%Y-%m-%dT%H', hour * 3600, 'unixepoch') AS hour_utc,
    total(seconds) FILTER (WHERE state = 'analysed') AS analysed_s,
    total(seconds) FILTER (WHERE state = 'lost') AS lost_s,
    total(seconds) FILTER (WHERE state = 'paused') AS paused_s,
    total(seconds) FILTER (WHERE state = 'degraded') AS degraded_s
FROM part GROUP BY station, hour"""

VIEWS = {
    "threshold_in_force": THRESHOLD_IN_FORCE,
    "candidate": CANDIDATE,
    "detection": DETECTION,
    "effort_in_force": EFFORT_IN_FORCE,
    "effort_by_hour": EFFORT_BY_HOUR,
}

MEANING = {
    "threshold_in_force": "The threshold that holds for each run, class and station: the newest version of the narrowest scope.",
    "candidate": "Candidates of active analyses with readable names, and the threshold that holds for each.",
    "detection": "Candidates at or above the threshold in force.",
    "effort_in_force": "The ledger of active analyses and of recordings that could not be used.",
    "effort_by_hour": "Seconds analysed, lost, paused and degraded by station and hour (UTC); audio without a known time is not in it.",
}
