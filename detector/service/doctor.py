"""Is this machine ready? Every finding says what was found and, if it is not well, what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import numpy as np

from detector.config import Settings
from detector.errors import DetectorError
from detector.model.bundle import Bundle, find_bundle, load_bundle
from detector.model.engine import Engine, make_engine
from detector.model.scorer import StreamingScorer
from detector.service import machine
from detector.service.machine import Finding, Level
from detector.service.verify import golden_difference
from detector.store.check import check_database
from detector.types import AudioBlock

TRIAL_SECONDS = 30
WARM_UP_SECONDS = 4
SLOWEST_COMFORTABLE = 20.0
PROGRAM = "field-detector"


def examine(settings: Settings, config_dir: Path | None) -> Iterator[Finding]:
    """Look at everything, quickest first.

    Parameters
    ----------
    settings : Settings
        Of the site; they say which bundle, engine, database and zone are meant.
    config_dir : Path or None
        Folder of the settings file, where bundles are looked for first.
    """
    yield _program()
    yield from _packages()
    yield machine.processor()
    yield machine.memory()
    yield machine.sqlite_library()
    yield from machine.clock(settings.station.time_zone)
    database = Path(settings.store.path)
    yield machine.disk(database)
    yield _database(database)
    yield machine.sound()
    yield machine.accelerator(_installed("torch") is not None)
    yield from _ear(settings, config_dir)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _program() -> Finding:
    import platform

    return Finding("program", Level.OK, f"{PROGRAM} {_installed(PROGRAM)}, Python {platform.python_version()}, {platform.system()}")


def _packages() -> Iterator[Finding]:
    """Core packages that are missing, and whether torch is there."""
    if _installed(PROGRAM) is None:
        yield Finding("packages", Level.WARN, "the program runs from its source and is not installed", "pip install . in its folder")
        return
    needed = [text for text in requires(PROGRAM) or [] if "extra ==" not in text]
    names = [_name(text) for text in needed]
    missing = [name for name in names if _installed(name) is None]
    shown = ", ".join(f"{name} {_installed(name)}" for name in ("numpy", "onnxruntime", "soundfile", "soxr", "sqlite-utils"))
    if missing:
        yield Finding("packages", Level.FAIL, f"missing: {', '.join(missing)}", f"pip install {PROGRAM}")
    else:
        yield Finding("packages", Level.OK, shown)
    torch = _installed("torch")
    text = "not installed; replay does not need it" if torch is None else torch
    yield Finding("torch", Level.OK, text, f'for CUDA and training: pip install "{PROGRAM}[torch]"' if torch is None else "")


def _name(requirement: str) -> str:
    """Name in a requirement such as "numpy>=1.26"."""
    return "".join(character if character.isalnum() or character in "-_." else " " for character in requirement).split()[0]


def _database(path: Path) -> Finding:
    """Whether the database can be opened, is whole, and how much it holds."""
    if not path.exists():
        return Finding("database", Level.OK, f"{path} does not exist yet; the first replay makes it")
    try:
        return Finding("database", Level.OK, check_database(path))
    except DetectorError as error:
        return Finding("database", Level.FAIL, error.message, error.hint)


def _ear(settings: Settings, config_dir: Path | None) -> Iterator[Finding]:
    """The bundle, the engine that would be used, and how fast it is on one thread."""
    try:
        bundle = load_bundle(find_bundle(settings.bundle, config_dir))
    except DetectorError as error:
        yield Finding("bundle", Level.FAIL, error.message, error.hint)
        return
    labels = ", ".join(entry.label for _, entry in bundle.card.columns)
    yield Finding("bundle", Level.OK, f"{bundle.card.name} ({labels}) in {bundle.path}, files as the card says")
    try:
        engine = make_engine(bundle, settings.engine.name, settings.engine.device)
        difference = golden_difference(bundle, engine)
        speed = trial(bundle, engine)
    except DetectorError as error:
        yield Finding("engine", Level.FAIL, error.message, error.hint)
        return
    scores = "no golden scores" if difference is None else f"golden scores within {difference:.0e}"
    why = "chosen by auto" if "auto" in (settings.engine.name, settings.engine.device) else "as the settings say"
    value = f"{engine.name} on {engine.device}, {why}: {speed:.0f} times real time on one thread, scoring alone; {scores}"
    if speed < SLOWEST_COMFORTABLE:
        yield Finding("engine", Level.WARN, value, "close other programs; a smaller bundle or a GPU would be faster")
    else:
        yield Finding("engine", Level.OK, value)


def trial(bundle: Bundle, engine: Engine) -> float:
    """Score half a minute of noise and give the speed in times real time: scoring alone, without decoding."""
    scorer = StreamingScorer(bundle, engine)
    rate = bundle.card.sample_rate_hz
    noise = np.random.default_rng(0).normal(0.0, 0.01, TRIAL_SECONDS * rate).astype(np.float32)
    first = WARM_UP_SECONDS * rate
    scorer.push(AudioBlock(0, noise[:first]))
    started = time.perf_counter()
    scorer.push(AudioBlock(first, noise[first:]))
    return (TRIAL_SECONDS - WARM_UP_SECONDS) / (time.perf_counter() - started)
