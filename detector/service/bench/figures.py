"""What `detector bench` measures: the name of every figure, its unit, and how it is obtained."""

from __future__ import annotations

from dataclasses import dataclass

TIMES = "times real time"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Unit of a figure and how it was obtained."""

    unit: str
    about: str


MEANINGS = {
    "start.help": Meaning("s", "detector --help in a fresh process"),
    "start.first_file": Meaning("s", "replay of one recording of 10 s in a fresh process, start-up included"),
    "replay.wav_one_thread": Meaning(TIMES, "replay of 48 kHz 16-bit WAV by one worker held to one core, files to database"),
    "replay.flac_one_thread": Meaning(TIMES, "the same audio as FLAC"),
    "replay.wav_one_thread_whole": Meaning(TIMES, "as wav_one_thread, with the start-up of the program counted in"),
    "replay.wav_all_cores": Meaning(TIMES, "the same WAV with one worker for each core"),
    "replay.flac_all_cores": Meaning(TIMES, "the same FLAC with one worker for each core"),
    "stage.decode_wav": Meaning(TIMES, "reading WAV into blocks, one thread"),
    "stage.decode_flac": Meaning(TIMES, "reading FLAC into blocks, one thread"),
    "stage.hash": Meaning(TIMES, "identity of the decoded audio, WAV, one thread"),
    "stage.resample": Meaning(TIMES, "48 kHz to the bundle's rate"),
    "stage.front_end": Meaning(TIMES, "log-mel features in numpy"),
    "stage.encoder": Meaning(TIMES, "the network's steps, by the engine that replay uses"),
    "stage.heads": Meaning(TIMES, "scores of the classes from the encoder's frames"),
    "stage.events": Meaning(TIMES, "event boxes and effort from the scores"),
    "stage.store": Meaning(TIMES, "rows of this audio into SQLite, synchronous"),
    "encoder.matmul_peak": Meaning("GFLOP/s", "numpy float32 matrix product of 1024 x 1024, best of many, one thread"),
    "encoder.work": Meaning("GMAC per s of audio", "multiplications of the encoder, from the numbers of its card"),
    "encoder.share_of_peak": Meaning("%", "two operations for each GMAC of the encoder stage, over matmul_peak"),
    "scaling.cores": Meaning("cores", "that this process may use"),
    "scaling.matmul_gain": Meaning("x", "matrix products of one process on each core at once, over one process alone"),
    "scaling.replay_gain": Meaning("x", "replay.wav_all_cores over replay.wav_one_thread"),
    "scaling.share": Meaning("%", "replay_gain over matmul_gain"),
    "peers.hubert_base_each_second": Meaning(TIMES, "transformers' HuBERT-base, random weights, 10 s windows every 1 s, one thread"),
    "peers.hubert_base_no_overlap": Meaning(TIMES, "the same without overlap of windows"),
    "peers.two_layers_each_second": Meaning(TIMES, "two layers of it, the shape of DistilHuBERT, 10 s windows every 1 s"),
    "peers.two_layers_no_overlap": Meaning(TIMES, "the same without overlap of windows"),
    "peers.gain_over_hubert_base": Meaning("x", "replay.wav_one_thread over hubert_base_each_second"),
    "memory.ten_minutes": Meaning("MB", "peak resident memory of a replay of 10 minutes by one worker, all its processes together"),
    "memory.ten_hours": Meaning("MB", "the same for 10 hours in one file; only with --long"),
    "store.insert": Meaning("events/s", "one million events of one year into SQLite, synchronous; this and what follows only with --store"),
    "store.longest_lock": Meaning("s", "longest time that a write transaction held the lock meanwhile"),
    "store.size": Meaning("MB", "database with one million events"),
    "store.count_any_threshold": Meaning("ms", "counts by day, class and station; worst of ten thresholds, one million events"),
    "store.count_in_force": Meaning("ms", "the same at the thresholds in force"),
    "store.uncertain": Meaning("ms", "the 20 candidates nearest to their thresholds"),
    "store.effort_by_hour": Meaning("ms", "effort of every hour and station of the year"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    name : str
        A key of `MEANINGS`.
    value : float
    """

    name: str
    value: float

    @property
    def meaning(self) -> Meaning:
        """Unit and origin of the number."""
        return MEANINGS[self.name]
