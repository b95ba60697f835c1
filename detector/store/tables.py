"""The tables, as SQL. SQLite keeps the comments, so that they show wherever the schema is shown."""

from __future__ import annotations

EDGES_PCT = (
    5, 6, 7, 8, 9, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37, 40, 42, 45, 47, 50, 52, 55, 57, 60,
    62, 65, 67, 70, 72, 75, 77, 80, 82, 85, 87, 90, 92, 95, 96, 97, 98, 99,
)
"""Confidences, in percent, for which table rollup keeps counts; finer where candidates are many."""

EDGE_COLUMNS = tuple(f"at_least_{edge:02d}" for edge in EDGES_PCT)

_EDGE_SQL = ",\n".join(f"    {column} INTEGER NOT NULL" for column in EDGE_COLUMNS)

PLACES = (
    """CREATE TABLE about (
    name TEXT PRIMARY KEY,  -- of a table or view
    meaning TEXT NOT NULL
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE station (
    station_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    latitude REAL,  -- degrees, north positive
    longitude REAL,  -- degrees, east positive
    time_zone TEXT
) STRICT""",
    """CREATE TABLE deployment (
    deployment_id INTEGER PRIMARY KEY,
    station_id INTEGER NOT NULL REFERENCES station,
    name TEXT NOT NULL,
    position TEXT NOT NULL,
    recorder TEXT NOT NULL,
    gain_db REAL,
    sensitivity_db REAL,  -- re 1 V/Pa
    started TEXT,
    ended TEXT,
    notes TEXT NOT NULL,
    UNIQUE (station_id, name)
) STRICT""",
    """CREATE TABLE source (
    source_id INTEGER PRIMARY KEY,
    deployment_id INTEGER NOT NULL REFERENCES deployment,
    kind TEXT NOT NULL CHECK (kind IN ('recordings', 'microphone')),
    name TEXT NOT NULL,
    channel TEXT NOT NULL,  -- '1', '2', ... or 'mix'
    UNIQUE (deployment_id, kind, name, channel)
) STRICT""",
)

RUNS = (
    """CREATE TABLE run (
    run_id INTEGER PRIMARY KEY,
    run_uuid TEXT NOT NULL UNIQUE,
    bundle TEXT NOT NULL,
    bundle_hash TEXT NOT NULL,
    settings TEXT NOT NULL,  -- scoring settings, JSON
    algorithm_version INTEGER NOT NULL,
    analysis_rate_hz INTEGER NOT NULL,
    hop_samples INTEGER NOT NULL,  -- one frame, at analysis_rate_hz
    floor REAL NOT NULL,  -- lowest confidence that is stored
    created_ns INTEGER NOT NULL,
    created_utc TEXT NOT NULL
) STRICT""",
    """CREATE TABLE run_class (
    run_id INTEGER NOT NULL REFERENCES run,
    head TEXT NOT NULL,
    label TEXT NOT NULL,
    card_threshold REAL NOT NULL,
    low_hz REAL,
    high_hz REAL,
    PRIMARY KEY (run_id, head, label)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE threshold (
    threshold_id INTEGER PRIMARY KEY,  -- the newest of a scope holds
    bundle_hash TEXT NOT NULL,
    head TEXT NOT NULL,
    label TEXT,  -- NULL: all classes of the head
    station_id INTEGER REFERENCES station,  -- NULL: all stations
    min_confidence REAL,  -- NULL: this scope is given up, a wider one holds
    method TEXT NOT NULL,
    chosen_by TEXT NOT NULL,
    precision_low REAL,
    precision_high REAL,
    n_reviewed INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    created_utc TEXT NOT NULL
) STRICT""",
    "CREATE INDEX threshold_scope ON threshold (bundle_hash, head, label, station_id)",
)

RECORDINGS = (
    """CREATE TABLE recording (
    recording_id INTEGER PRIMARY KEY,
    recording_uuid TEXT NOT NULL UNIQUE,
    deployment_id INTEGER NOT NULL REFERENCES deployment,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    container TEXT,
    encoding TEXT,
    sample_rate_hz INTEGER,
    channels INTEGER,
    n_samples INTEGER,  -- samples that the file holds
    promised_samples INTEGER,  -- samples that its header promises
    duration_s REAL,
    start_ns INTEGER,  -- UTC; NULL: not known
    start_local TEXT,  -- as the recorder's clock showed it
    utc_offset_s INTEGER,
    start_provenance TEXT NOT NULL,
    start_uncertainty_ns INTEGER,
    zone_provenance TEXT NOT NULL,
    recorder TEXT,
    device TEXT,
    is_gapless INTEGER NOT NULL CHECK (is_gapless IN (0, 1)),
    metadata TEXT NOT NULL,  -- JSON
    audio_hash TEXT,  -- of the decoded audio; NULL for a bad recording
    bad_because TEXT,
    hint TEXT,
    is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),  -- 0: the file has other content now
    duplicate_of INTEGER REFERENCES recording  -- the same audio under another path, which alone counts
) STRICT""",
    "CREATE UNIQUE INDEX recording_path ON recording (path) WHERE is_current = 1",
    "CREATE INDEX recording_audio ON recording (audio_hash)",
    "CREATE INDEX recording_duplicate ON recording (duplicate_of) WHERE duplicate_of IS NOT NULL",
    """CREATE TABLE run_recording (
    run_id INTEGER NOT NULL REFERENCES run,
    recording_id INTEGER NOT NULL REFERENCES recording,
    chain_hash TEXT NOT NULL,  -- audio_hash of the segments that it is part of
    PRIMARY KEY (run_id, recording_id)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX run_recording_recording ON run_recording (recording_id)",
)

SEGMENTS = (
    """CREATE TABLE segment (
    segment_id INTEGER PRIMARY KEY,
    segment_uuid TEXT NOT NULL UNIQUE,
    source_id INTEGER NOT NULL REFERENCES source,
    audio_hash TEXT NOT NULL,  -- of the whole chain of recordings
    channel TEXT NOT NULL,
    first_sample INTEGER NOT NULL,  -- where the segment begins in the chain
    sample_rate_hz INTEGER NOT NULL,
    n_samples INTEGER,  -- NULL while it is under way
    duration_s REAL,
    start_ns INTEGER  -- UTC; NULL: not known
) STRICT""",
    "CREATE INDEX segment_audio ON segment (audio_hash)",
    """CREATE TABLE segment_recording (
    segment_id INTEGER NOT NULL REFERENCES segment,
    recording_id INTEGER NOT NULL REFERENCES recording,
    offset_samples INTEGER NOT NULL,  -- segment sample of the recording's first sample; negative: the segment begins inside it
    PRIMARY KEY (segment_id, recording_id)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX segment_recording_recording ON segment_recording (recording_id)",
    """CREATE TABLE clock (
    segment_id INTEGER NOT NULL REFERENCES segment,
    sample INTEGER NOT NULL,
    utc_ns INTEGER,
    monotonic_ns INTEGER,
    uncertainty_ns INTEGER,
    provenance TEXT NOT NULL,
    PRIMARY KEY (segment_id, sample)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE analysis (
    analysis_id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES run,
    segment_id INTEGER NOT NULL REFERENCES segment,
    head TEXT NOT NULL,
    station_id INTEGER NOT NULL REFERENCES station,
    state TEXT NOT NULL CHECK (state IN ('partial', 'complete')),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),  -- 1: the one analysis of this audio that counts
    n_candidates INTEGER NOT NULL,
    claimed_by TEXT,  -- the writer of a partial analysis
    UNIQUE (run_id, segment_id, head)
) STRICT""",
    "CREATE INDEX analysis_segment ON analysis (segment_id)",
)

RESULTS = (
    """CREATE TABLE effort (
    effort_id INTEGER PRIMARY KEY,
    run_id INTEGER REFERENCES run,
    segment_id INTEGER REFERENCES segment,
    recording_id INTEGER REFERENCES recording,  -- only where there is no segment: a recording that could not be used
    state TEXT NOT NULL CHECK (state IN ('analysed', 'lost', 'paused', 'degraded')),
    start_sample INTEGER,  -- in the segment, at its own rate
    n_samples INTEGER,  -- NULL: cannot be known
    duration_s REAL,
    start_ns INTEGER,  -- UTC; NULL: not known
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,  -- things that the reason stands for, such as candidates beyond the rate cap
    band_levels_db TEXT  -- JSON; mean level per band, dB re full-scale sine
) STRICT""",
    "CREATE INDEX effort_segment ON effort (segment_id, run_id)",
    "CREATE INDEX effort_recording ON effort (recording_id) WHERE recording_id IS NOT NULL",
    """CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    event_uuid TEXT NOT NULL,  -- of run, segment, head, label and start_frame: unique as these are together
    analysis_id INTEGER NOT NULL REFERENCES analysis,
    recording_id INTEGER NOT NULL REFERENCES recording,  -- where it starts
    label TEXT NOT NULL,
    start_frame INTEGER NOT NULL,
    end_frame INTEGER NOT NULL,
    start_sample INTEGER NOT NULL,  -- in the segment, at its own rate
    end_sample INTEGER NOT NULL,
    start_s REAL NOT NULL,  -- in the recording
    end_s REAL NOT NULL,  -- may lie beyond the recording's end when the segment goes on in the next
    start_ns INTEGER,  -- UTC; NULL: not known
    end_ns INTEGER,
    day TEXT NOT NULL,  -- date of start_ns in UTC; else of the recorder's clock; else 'unknown'
    low_hz REAL,
    high_hz REAL,
    confidence REAL NOT NULL,
    logit_mean REAL NOT NULL,
    logit_max REAL NOT NULL,
    logit_top REAL NOT NULL,  -- mean of the highest tenth of the frames
    n_frames INTEGER NOT NULL,
    is_linked INTEGER NOT NULL CHECK (is_linked IN (0, 1)),  -- 1: goes on from the event before, which reached the longest length
    rejected_because TEXT,
    embedding BLOB NOT NULL,  -- float16, little endian; mean over the frames
    UNIQUE (analysis_id, label, start_frame)
) STRICT""",
    "CREATE INDEX event_recording ON event (recording_id)",
    "CREATE INDEX event_day ON event (day, confidence, analysis_id, label) WHERE rejected_because IS NULL",
    f"""CREATE TABLE rollup (
    run_id INTEGER NOT NULL REFERENCES run,
    head TEXT NOT NULL,
    label TEXT NOT NULL,
    station_id INTEGER NOT NULL REFERENCES station,
    day TEXT NOT NULL,
    n_candidates INTEGER NOT NULL,
{_EDGE_SQL},
    PRIMARY KEY (run_id, head, label, station_id, day)
) STRICT, WITHOUT ROWID""",
)

TABLES = PLACES + RUNS + RECORDINGS + SEGMENTS + RESULTS

MEANING = {
    "about": "What each table and view holds.",
    "station": "A place where a recorder hangs.",
    "deployment": "One recorder at a station for one period.",
    "source": "One channel of a recorder's files, or of a microphone.",
    "run": "One way of listening: a bundle with its scoring settings.",
    "run_class": "The classes that a run listens for; one that is missing here was not looked for.",
    "threshold": "Every threshold that was ever set, newest last. None is changed or deleted.",
    "recording": "One audio file with one content. A file that has changed has an old row (is_current = 0) and a new one.",
    "run_recording": "Which recordings a run has finished.",
    "segment": "An unbroken span of audio of one source: one recording, several without a gap between them, or a part of one.",
    "segment_recording": "Which recordings a segment consists of, and where they lie in it.",
    "clock": "Places in a segment where the time is known, how, and how well.",
    "analysis": "What one head of one run made of one segment. Of several for the same audio only the active one counts.",
    "effort": "The ledger: every sample of every segment is analysed or lost, with a reason; degraded rows lie over analysed ones.",
    "event": "Candidates: every event above the run's floor, of all analyses. See the views candidate and detection.",
    "rollup": "How many candidates of active analyses have at least a given confidence in percent, by day (kept in step by the program).",
}
