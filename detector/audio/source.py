"""Chains of recordings as a stream of mono blocks and gaps, and the identity of their audio."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from detector.audio.decode import Lost, Samples, decode
from detector.audio.formats import canonical_type
from detector.errors import AudioError
from detector.types import AudioBlock, FloatArray, Gap, Recording

KEEP_BYTES = 64 << 20
"""Eleven minutes of 48 kHz mono in 16 bit: what most recorders write as one file."""
_LOUDEST = np.float32(2.0**32)
"""Beyond this, float samples are no sound at any scale, and their power would overflow: treated like NaN."""
_NOT_FINITE = "non-finite samples"
_SHORTEST_ISLAND_S = 0.1
_SCALE = {"int16": np.float32(2.0**-15), "int32": np.float32(2.0**-31)}


class ArchiveSource:
    """The audio of a chain of recordings at its own rate, as one mono stream.

    Iterating yields `AudioBlock` and `Gap`, each time from the beginning. After a gap ``start_sample`` counts from 0
    again; a gap's own ``start_sample`` is the length of the segment that it ends (0 when gaps follow each other).
    Lengths of blocks and gaps add up to the recordings' ``n_samples``. Sample values and gaps do not depend on
    ``block_samples``. Samples that are NaN, infinite or beyond 2**32 become a gap; sound of less than 0.1 s between
    two such places belongs to the gap.

    Parameters
    ----------
    chain : sequence of Recording
        One unbroken stretch, as `chain_recordings` returns it.
    channel : int or "mix"
        1 is the first; "mix" is the mean of all.
    block_samples : int
        Longest block that is yielded.
    decoded : sequence of decoded pieces, optional
        Used in place of the files; see `ChainDecoder`.

    Raises
    ------
    AudioError
        If the chain is empty or does not have that channel.
    """

    def __init__(
        self,
        chain: Sequence[Recording],
        channel: int | Literal["mix"],
        block_samples: int,
        decoded: Sequence[Samples | Lost] | None = None,
    ) -> None:
        channels = _check_chain(chain)
        if channel != "mix" and not 1 <= channel <= channels:
            raise AudioError(
                f"{_shown(chain[0])} has {channels} channel{'s' if channels > 1 else ''}, not a channel {channel}",
                'set recordings.channel to a channel that exists, "mix" or "each"',
            )
        if block_samples < 1:
            raise AudioError(f"blocks of {block_samples} samples", "block_samples must be at least 1")
        self.sample_rate_hz = chain[0].sample_rate_hz
        self._chain = tuple(chain)
        self._channel = channel
        self._block_samples = block_samples
        self._decoded = decoded

    def __iter__(self) -> Iterator[AudioBlock | Gap]:
        pieces = _decode_chain(self._chain) if self._decoded is None else self._decoded
        mono = (piece if isinstance(piece, Lost) else _to_mono(piece, self._channel) for piece in pieces)
        whole = mono if canonical_type(self._chain[0].encoding) is not np.float32 else _without_nonfinite(mono, self.sample_rate_hz)
        return _in_blocks(whole, self._block_samples)


class ChainDecoder:
    """Decodes a chain once for both its hash and its audio, when it fits into memory; else twice, in bounded memory.

    Parameters
    ----------
    chain : sequence of Recording
    keep_bytes : int
        Most decoded bytes that are kept.

    Attributes
    ----------
    audio_hash : str
        Of the whole chain; see `audio_hash`.
    recording_hashes : tuple of str
        Of each recording alone.
    """

    def __init__(self, chain: Sequence[Recording], keep_bytes: int = KEEP_BYTES) -> None:
        channels = _check_chain(chain)
        self.chain = tuple(chain)
        frame_bytes = channels * np.dtype(canonical_type(chain[0].encoding)).itemsize
        fits = sum(recording.n_samples for recording in chain) * frame_bytes <= keep_bytes
        each = (decode(recording) for recording in self.chain)
        kept = [list(pieces) for pieces in each] if fits else None
        self.audio_hash, self.recording_hashes = _hash(self.chain, each if kept is None else kept)
        self._kept = None if kept is None else [piece for pieces in kept for piece in pieces]

    def source(self, channel: int | Literal["mix"], block_samples: int) -> ArchiveSource:
        """The audio of one channel; see `ArchiveSource`."""
        return ArchiveSource(self.chain, channel, block_samples, self._kept)


def audio_hash(chain: Sequence[Recording]) -> str:
    """Identity of the decoded audio of a chain: BLAKE2b-160 over rate, channel count, sample type and samples.

    One file, its consecutive pieces as a chain, and the FLAC of a WAV hash alike. What cannot be read enters as its length.

    Raises
    ------
    AudioError
        If the chain is empty, mixed, or nothing of it can be decoded.
    """
    _check_chain(chain)
    return _hash(chain, (decode(recording) for recording in chain))[0]


def _hash(chain: Sequence[Recording], decoded: Iterable[Iterable[Samples | Lost]]) -> tuple[str, tuple[str, ...]]:
    """Hash of the chain, and of each recording in it."""
    kind = np.dtype(canonical_type(chain[0].encoding)).name
    start = hashlib.blake2b(f"{chain[0].sample_rate_hz} {chain[0].channels} {kind}\n".encode(), digest_size=20)
    whole, each = start.copy(), []
    reason, heard = "it holds no samples", False
    for pieces in decoded:
        own = start.copy()
        for piece in pieces:
            if isinstance(piece, Lost):
                reason = piece.reason
                content: bytes | memoryview = f"lost {piece.n_samples}\n".encode()
            else:
                heard = True
                content = np.ascontiguousarray(piece).data
            whole.update(content)
            if len(chain) > 1:
                own.update(content)
        each.append(own.hexdigest())
    if not heard:
        raise AudioError(f"{_shown(chain[0])}: {reason}", "check the file and the card or disk that it is on")
    return whole.hexdigest(), tuple(each) if len(chain) > 1 else (whole.hexdigest(),)


def _check_chain(chain: Sequence[Recording]) -> int:
    if not chain:
        raise AudioError("a chain without recordings", "give at least one recording")
    kinds = {(recording.sample_rate_hz, recording.channels, canonical_type(recording.encoding)) for recording in chain}
    if len(kinds) > 1:
        raise AudioError(f"{_shown(chain[0])} and its followers differ in rate, channels or encoding", "chain only like recordings")
    return chain[0].channels


def _shown(recording: Recording) -> str:
    """Its path in words that can be printed and stored, whatever bytes the name has."""
    return os.fsencode(recording.path).decode("utf-8", "backslashreplace")


def _decode_chain(chain: Sequence[Recording]) -> Iterator[Samples | Lost]:
    for recording in chain:
        yield from decode(recording)


def _to_mono(piece: Samples, channel: int | Literal["mix"]) -> FloatArray:
    scale = _SCALE.get(piece.dtype.name)
    if channel != "mix":
        return _scaled(piece[:, channel - 1], scale)
    with np.errstate(over="ignore", invalid="ignore"):
        total: FloatArray = _scaled(piece[:, 0], scale).copy()
        for other in range(1, piece.shape[1]):
            total += _scaled(piece[:, other], scale)
        if piece.shape[1] > 1:
            total *= np.float32(1 / piece.shape[1])
    return total


def _scaled(values: Samples, scale: np.float32 | None) -> FloatArray:
    if scale is None:
        return np.ascontiguousarray(values, np.float32)
    scaled: FloatArray = np.multiply(values, scale, dtype=np.float32)
    return scaled


def _without_nonfinite(pieces: Iterable[FloatArray | Lost], sample_rate_hz: int) -> Iterator[FloatArray | Lost]:
    """Replace stretches of samples that are no numbers by losses, joined across islands of less than 0.1 s."""
    shortest = max(1, int(sample_rate_hz * _SHORTEST_ISLAND_S))
    lost, island, n_island = 0, list[FloatArray](), 0
    for piece in pieces:
        if isinstance(piece, Lost):
            if lost:
                yield Lost(lost, _NOT_FINITE)
                yield from island
                lost, island, n_island = 0, [], 0
            yield piece
            continue
        for run in _runs(piece):
            if isinstance(run, Lost):
                lost += n_island + run.n_samples
                island, n_island = [], 0
            elif not lost:
                yield run
            else:
                island.append(run)
                n_island += len(run)
                if n_island >= shortest:
                    yield Lost(lost, _NOT_FINITE)
                    yield from island
                    lost, island, n_island = 0, [], 0
    if lost:
        yield Lost(lost, _NOT_FINITE)
        yield from island


def _runs(samples: FloatArray) -> Iterator[FloatArray | Lost]:
    good = np.abs(samples) <= _LOUDEST  # False for NaN
    if good.all():
        yield samples
        return
    edges = [0, *(np.flatnonzero(good[1:] != good[:-1]) + 1).tolist(), len(samples)]
    for begin, end in pairwise(edges):
        yield samples[begin:end] if good[begin] else Lost(end - begin, _NOT_FINITE)


def _in_blocks(pieces: Iterable[FloatArray | Lost], block_samples: int) -> Iterator[AudioBlock | Gap]:
    """Blocks of exactly ``block_samples`` (the last of a segment is shorter) and gaps; losses in a row with one reason are one gap."""
    at, waiting, n_waiting = 0, list[FloatArray](), 0
    gap: Gap | None = None
    for piece in pieces:
        if isinstance(piece, Lost):
            if gap is not None and gap.reason == piece.reason and gap.n_samples is not None:
                gap = Gap(gap.start_sample, gap.n_samples + piece.n_samples, gap.reason)
                continue
            if gap is not None:
                yield gap
            if n_waiting:
                yield AudioBlock(at, np.concatenate(waiting))
            gap = Gap(at + n_waiting, piece.n_samples, piece.reason)
            at, waiting, n_waiting = 0, [], 0
            continue
        if gap is not None:
            yield gap
            gap = None
        waiting.append(piece)
        n_waiting += len(piece)
        if n_waiting >= block_samples:
            joined = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
            whole = n_waiting // block_samples * block_samples
            for begin in range(0, whole, block_samples):
                yield AudioBlock(at + begin, joined[begin : begin + block_samples])
            at, waiting, n_waiting = at + whole, [joined[whole:]], n_waiting - whole
    if gap is not None:
        yield gap
    if n_waiting:
        yield AudioBlock(at, np.concatenate(waiting))
