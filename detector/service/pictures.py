"""Pictures of what was heard: a spectrogram with planted and detected calls drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detector.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW = 1024
COLUMNS = 1600
HEADROOM = 1.13  # of the frequency axis, for the bars of the detections
PLANTED, DETECTED, MISSED = "#4fd6e8", "#ffb000", "#ff5f6d"
BACKGROUND, INK = "#101418", "#e8ecef"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in time and frequency.

    Attributes
    ----------
    start_s, end_s : float
    low_hz, high_hz : float or None
        None when only the time is known.
    text : str
        Written beside it; may be empty.
    found : bool
        For a planted call: whether a detection matches it.
    snr_db : float or None
        For a planted call: how far it stands above the noise in its own band.
    """

    start_s: float
    end_s: float
    low_hz: float | None = None
    high_hz: float | None = None
    text: str = ""
    found: bool = True
    snr_db: float | None = None


def spectrogram_db(samples: FloatArray, columns: int = COLUMNS) -> FloatArray:
    """Power in decibels of evenly spaced windows.

    Returns
    -------
    float32 (WINDOW // 2 + 1, columns)
    """
    padded = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    starts = np.linspace(0, len(padded) - WINDOW, columns).astype(np.int64)
    windows = padded[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    decibels: FloatArray = (10.0 * np.log10(power.T + 1e-12)).astype(np.float32)
    return decibels


def draw_events(
    path: Path,
    samples: FloatArray,
    sample_rate_hz: int,
    planted: Sequence[Box],
    detected: Sequence[Box],
    title: str,
    rows: int = 3,
    highest_hz: float | None = None,
) -> None:
    """Write a PNG with the recording in a few rows, planted calls as boxes and detections as bars above and spans below.

    Parameters
    ----------
    path : Path
    samples : float32 (n,)
        Mono.
    sample_rate_hz : int
    planted, detected : sequences of Box
        In seconds from the first sample.
    title : str
    rows : int
        The recording is cut into this many equal rows.
    highest_hz : float, optional
        Top of the frequency axis; the Nyquist frequency when not given.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 3.0 * rows + 1.0), dpi=110, facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    bounds = [int(bound) for bound in np.linspace(0, len(samples), rows + 1)]
    pictures = [spectrogram_db(samples[first:last]) for first, last in pairwise(bounds)]
    # Above the median of each frequency: the rumble of wind and water would outshine every call otherwise.
    noise_db = np.median(np.concatenate(pictures, axis=1), axis=1, keepdims=True)
    for axis, picture, (first, last) in zip(axes, pictures, pairwise(bounds), strict=True):
        span = (first / sample_rate_hz, last / sample_rate_hz)
        extent = (*span, 0.0, sample_rate_hz / 2000.0)
        axis.imshow(picture - noise_db, origin="lower", aspect="auto", cmap="magma", vmin=-3.0, vmax=30.0, extent=extent)
        _style(axis, span, (sample_rate_hz / 2.0 if highest_hz is None else highest_hz) / 1000.0)
        _draw_planted(axis, [box for box in planted if box.end_s > span[0] and box.start_s < span[1]])
        _draw_detected(axis, [box for box in detected if box.end_s > span[0] and box.start_s < span[1]])
    axes[-1].set_xlabel("time / s", color=INK)
    figure.suptitle(title, color=INK, fontsize=14)
    _legend(axes[0])
    figure.savefig(path, facecolor=BACKGROUND)


def _style(axis: Axes, span: tuple[float, float], top_khz: float) -> None:
    axis.set_xlim(*span)
    axis.set_ylim(0.0, top_khz * HEADROOM)
    axis.set_yticks([tick for tick in axis.get_yticks() if 0 <= tick <= top_khz])
    axis.set_ylabel("frequency / kHz", color=INK)
    axis.set_facecolor(BACKGROUND)
    axis.axhspan(top_khz, top_khz * HEADROOM, color=BACKGROUND, zorder=2)
    axis.tick_params(colors=INK)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_planted(axis: Axes, boxes: Sequence[Box]) -> None:
    from matplotlib.patches import Rectangle

    top_khz = axis.get_ylim()[1] / HEADROOM
    margin_s = _text_width_s(axis, "") / 3  # so that the outline of a short call does not hide it
    free_s = -np.inf
    for box in boxes:
        low_khz = 0.0 if box.low_hz is None else box.low_hz / 1000.0
        high_khz = top_khz if box.high_hz is None else min(box.high_hz / 1000.0, top_khz)
        colour = PLANTED if box.found else MISSED
        size = (box.end_s - box.start_s + 2 * margin_s, high_khz - low_khz)
        axis.add_patch(Rectangle((box.start_s - margin_s, low_khz), *size, fill=False, edgecolor=colour, linewidth=1.0))
        if box.start_s >= free_s:
            at = (box.start_s, min(high_khz, 0.94 * top_khz))
            axis.annotate(box.text, at, (0, 2), textcoords="offset points", color=colour, fontsize=7, clip_on=True)
            free_s = box.start_s + _text_width_s(axis, box.text)


def _draw_detected(axis: Axes, boxes: Sequence[Box]) -> None:
    from matplotlib.patches import Rectangle

    top_khz = axis.get_ylim()[1] / HEADROOM
    free_s = -np.inf
    for box in boxes:
        length_s = box.end_s - box.start_s
        axis.add_patch(Rectangle((box.start_s, 0.0), length_s, top_khz, facecolor=DETECTED, alpha=0.12, linewidth=0))
        axis.add_patch(Rectangle((box.start_s, top_khz * 1.015), length_s, top_khz * 0.035, color=DETECTED, linewidth=0, zorder=3))
        if box.start_s >= free_s:
            at = (box.start_s, top_khz * 1.05)
            axis.annotate(box.text, at, (0, 1), textcoords="offset points", color=DETECTED, fontsize=7, clip_on=True, zorder=3)
            free_s = box.start_s + _text_width_s(axis, box.text)


def _text_width_s(axis: Axes, text: str) -> float:
    """Seconds that a small text covers, so that texts are left out rather than written over each other."""
    first_s, last_s = axis.get_xlim()
    return (len(text) + 1) * (last_s - first_s) / 330.0


def _legend(axis: Axes) -> None:
    from matplotlib.patches import Patch

    entries = [
        Patch(fill=False, edgecolor=PLANTED, label="planted, found"),
        Patch(fill=False, edgecolor=MISSED, label="planted, missed"),
        Patch(color=DETECTED, label="detected, with its confidence"),
    ]
    axis.legend(handles=entries, ncols=3, frameon=False, labelcolor=INK, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
