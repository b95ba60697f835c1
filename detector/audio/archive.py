"""Find recordings, look at their headers, and join those that are one unbroken stretch of audio."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from pathlib import Path

from detector.audio.chains import chain_recordings
from detector.audio.clocks import read_origin
from detector.audio.formats import read_layout
from detector.audio.source import ArchiveSource, ChainDecoder, audio_hash
from detector.errors import AudioError
from detector.types import BadRecording, Recording

__all__ = ["ArchiveSource", "ChainDecoder", "audio_hash", "chain_recordings", "find_recordings", "inspect_recording"]

EXTENSIONS = frozenset({".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"})
_BIN_FOLDERS = frozenset({"$RECYCLE.BIN", "System Volume Information"})


def find_recordings(paths: Sequence[str | Path]) -> list[Path]:
    """Recordings among files, folders (with all folders inside) and glob patterns.

    In folders, files are taken by their extension (`EXTENSIONS`, any case); names that begin with a dot, which
    operating systems leave on memory cards, and recycle bins are passed over. A file that is named outright is always
    taken. A folder that cannot be listed is returned itself, so that `inspect_recording` says so.

    Returns
    -------
    list of Path
        Absolute, sorted, each once.

    Raises
    ------
    AudioError
        If a path matches nothing.
    """
    found: set[Path] = set()
    for path in paths:
        matches = list(_matches(os.fspath(path)))
        if not matches:
            raise AudioError(f"no recordings in {str(path)!r}", f"give files, folders or patterns with {', '.join(sorted(EXTENSIONS))}")
        found.update(matches)
    return sorted(found)


def _matches(text: str) -> Iterator[Path]:
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if path.is_dir():
        yield from _walk(path)
    elif os.path.lexists(path):
        yield path
    else:
        for match in glob.iglob(os.path.expanduser(text), recursive=True):
            each = Path(os.path.abspath(match))
            if each.is_dir():
                yield from _walk(each)
            elif each.suffix.lower() in EXTENSIONS:
                yield each


def _walk(folder: Path) -> Iterator[Path]:
    failed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=failed.append):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _BIN_FOLDERS]
        for name in files:
            if os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith("."):
                yield Path(parent, name)
        for error in failed:
            yield Path(error.filename)
        failed.clear()
    for error in failed:
        yield Path(error.filename)


def inspect_recording(path: Path, zone: tzinfo | None, name_pattern: str | None) -> Recording | BadRecording:
    """Read the header of a file. Never raises for a bad file.

    Parameters
    ----------
    path : Path
    zone : tzinfo or None
        Of the recorder's clock, where the file says a time without zone.
    name_pattern : str or None
        strptime codes of the full name without extension, tried when no known pattern fits.

    Raises
    ------
    ConfigError
        If the pattern is not usable.
    """
    size_bytes, mtime_ns = 0, 0
    try:
        status = os.stat(path)
        size_bytes, mtime_ns = status.st_size, status.st_mtime_ns
        layout = read_layout(path)
    except OSError as error:
        return BadRecording(path, size_bytes, mtime_ns, *_explain(error))
    except AudioError as error:
        return BadRecording(path, size_bytes, mtime_ns, error.message, error.hint)
    origin = read_origin(path.stem, layout, zone, name_pattern)
    return Recording(
        path=path,
        size_bytes=size_bytes,
        mtime_ns=mtime_ns,
        container=layout.container,
        encoding=layout.encoding,
        sample_rate_hz=layout.sample_rate_hz,
        channels=layout.channels,
        n_samples=layout.n_samples,
        promised_samples=layout.promised_samples,
        start=origin.start,
        recorder=origin.recorder,
        device=origin.device,
        gapless=origin.gapless,
        metadata=origin.metadata,
    )


def _explain(error: OSError) -> tuple[str, str]:
    if error.errno == errno.ENOENT:
        return "it is not there any more", "it was moved or deleted while the run went on, or is a broken link"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "it may not be read", "give yourself permission to read it"
    return f"it cannot be read: {error.strerror or error}", "check the card or disk that it is on"
