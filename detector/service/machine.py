"""Facts of the machine: processor, memory, disk, clock, SQLite, sound inputs and accelerator, each with what to do about it."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

GIGABYTE = 1024**3
_CLOCK_NOT_SYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_PROBE_TIMEOUT_S = 60

_SOUND_PROBE = """
import json, sounddevice
print(json.dumps([d["name"] for d in sounddevice.query_devices() if d["max_input_channels"] > 0]))
"""
_TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "devices": names}))
"""


class Level(str, Enum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    level : Level
    value : str
        What was found.
    advice : str
        What to do about it; empty when there is nothing to do.
    """

    name: str
    level: Level
    value: str
    advice: str = ""


def probe(code: str) -> object:
    """What a short program prints as JSON in its own process, where a driver may print, hang or crash without harm.

    Raises
    ------
    RuntimeError
        With the last line that the process wrote.
    """
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no answer within {_PROBE_TIMEOUT_S} s") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
    answer: object = json.loads(done.stdout)
    return answer


def processor() -> Finding:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("processor", Level.OK, f"{cores} core{'s' if cores != 1 else ''}, {platform.machine()}")


def memory() -> Finding:
    """Memory that is free now; a replay needs under 300 MB."""
    try:
        available = next(int(row.split()[1]) for row in Path("/proc/meminfo").read_text().splitlines() if row.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return Finding("memory", Level.WARN, "unknown on this system", "a replay needs 300 MB for each worker")
    level = Level.OK if available > 600_000 else Level.WARN
    advice = "" if level is Level.OK else "a replay needs 300 MB for each worker: close other programs or use --workers 1"
    return Finding("memory", level, f"{available * 1024 / GIGABYTE:.1f} GB free", advice)


def disk(database: Path) -> Finding:
    """Free space where the database is or will be."""
    folder = next(parent for parent in (database.absolute(), *database.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(folder).free
    value = f"{free / GIGABYTE:.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", Level.FAIL, f"{folder} cannot be written", "choose another place with --db, or change its permissions")
    if free < GIGABYTE // 2:
        return Finding("disk", Level.FAIL, value, "make room, or put the database elsewhere with --db")
    if free < 5 * GIGABYTE:
        return Finding("disk", Level.WARN, value, "make room before a long run")
    return Finding("disk", Level.OK, value)


def clock(time_zone: str | None) -> tuple[Finding, Finding]:
    """Whether the clock is synchronised, and whether the recorder's zone is set."""
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    synchronised = _synchronised()
    if synchronised is None:
        first = Finding("clock", Level.WARN, f"{now}, synchronisation unknown", "compare it with a watch; recordings keep their own times")
    elif synchronised:
        first = Finding("clock", Level.OK, f"{now}, synchronised")
    else:
        advice = "sudo timedatectl set-ntp true, or set it by hand; times of recordings come from the recorder and do not suffer"
        first = Finding("clock", Level.WARN, f"{now}, not synchronised", advice)
    if time_zone is None:
        advice = "set station.time_zone in config.yaml, else UTC stays unknown for files that give no zone"
        return first, Finding("recorder zone", Level.WARN, "not set", advice)
    return first, Finding("recorder zone", Level.OK, time_zone)


def _synchronised() -> bool | None:
    """What the kernel says about its clock; None where it cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    # struct timex, all zero: modes = 0 only reads. It is at most 208 bytes.
    state = adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != _CLOCK_NOT_SYNCHRONISED


def sqlite_library() -> Finding:
    """SQLite's version, and whether it has the WAL-reset bug (3.7.0 to 3.51.2, repaired also in 3.50.7 and 3.44.6)."""
    version = tuple(int(part) for part in sqlite3.sqlite_version.split("."))
    repaired = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if repaired:
        return Finding("SQLite", Level.OK, sqlite3.sqlite_version)
    value = f"{sqlite3.sqlite_version}, has the WAL-reset bug; the writer's lock keeps it from the database"
    return Finding("SQLite", Level.OK, value, "write to the database with detector alone; reading with other programs is safe")


def sound() -> Finding:
    """Microphones that PortAudio sees. Replay needs none."""
    use = "only needed for live listening"
    try:
        names = probe(_SOUND_PROBE)
    except RuntimeError as error:
        advice = f"{use}: sudo apt install libportaudio2" if "PortAudio" in str(error) else use
        return Finding("sound inputs", Level.WARN, f"cannot be listed: {error}", advice)
    if not isinstance(names, list) or not names:
        return Finding("sound inputs", Level.WARN, "none", f"{use}: plug in a microphone or sound card")
    return Finding("sound inputs", Level.OK, ", ".join(str(name) for name in names))


def accelerator(torch_installed: bool) -> Finding:
    """The NVIDIA GPU, if any, and whether the torch engine can use it."""
    cards = _nvidia_cards()
    if not torch_installed:
        if not cards:
            return Finding("accelerator", Level.OK, "none; the onnx engine runs on the processor")
        advice = 'it stays idle without torch: pip install "field-detector[torch]", then engine.device: cuda'
        return Finding("accelerator", Level.WARN, f"{', '.join(cards)}, torch not installed", advice)
    try:
        answer = probe(_TORCH_PROBE)
    except RuntimeError as error:
        return Finding("accelerator", Level.WARN, f"torch cannot be used: {error}", "install it again, or leave engine.name at onnx")
    devices = answer["devices"] if isinstance(answer, dict) else []
    if devices:
        return Finding("accelerator", Level.OK, f"{', '.join(devices)} through torch", "engine.device: cuda uses it")
    if cards:
        advice = "install the CUDA build of torch that fits the driver"
        return Finding("accelerator", Level.WARN, f"{', '.join(cards)}, but torch sees no CUDA", advice)
    return Finding("accelerator", Level.OK, "none; torch runs on the processor")


def _nvidia_cards() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
    )
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
