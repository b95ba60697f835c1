"""`detector demo`: a small scene, what was planted in it, and what was heard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from detector.service.demo import DemoResult, Pair

SEED = 20260501


@click.command(name="demo")
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), default="demo", show_default=True, help="Where to.")
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Another seed makes another scene.")
def command(folder: Path, seed: int) -> None:
    """Make a small scene, replay it, and show planted against detected.

    The scene is synthetic: an evening at a stream with wind, three minutes long, with calls of a dozen kinds at known times and loudness.
    It leaves the recording, a database, a Raven selection table and a picture of the spectrogram with all boxes.
    """
    from detector.service.demo import run_demo
    from detector.service.pictures import Box
    from detector.train.synthesis import demo_scene

    click.echo("making a scene of three minutes ...")
    scene = demo_scene(seed)
    planted = [
        Box(label.start_s, label.end_s, label.low_hz, label.high_hz, label.kind.replace("_", " "), snr_db=label.snr_db)
        for label in scene.labels
    ]
    click.echo("replaying it with the default bundle ...")
    show(run_demo(scene.samples, scene.sample_rate_hz, planted, folder))


def show(result: DemoResult) -> None:
    """Print planted beside detected, the files, and what to try next."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="planted and detected", title_justify="left", box=None, pad_edge=False)
    for name in ("at", "planted", "over the noise", "detected", "confidence"):
        table.add_column(name, justify="left" if name == "planted" else "right")
    for pair in result.pairs:
        table.add_row(*_row(pair))
    Console(highlight=False, width=100).print(table)
    found = sum(pair.detected is not None for pair in result.pairs)
    heard_s, elapsed_s = result.summary.audio_s, result.summary.elapsed_s
    click.echo(f"\n{found} of {len(result.pairs)} planted calls found; {len(result.extra)} detections of something else")
    if heard_s:
        click.echo(f"{heard_s:.0f} s of audio in {elapsed_s:.1f} s: {heard_s / elapsed_s:.0f} times real time")
    for note in result.summary.notes:
        click.echo(f"note: {note}")
    files = result.files
    click.echo(f"\nleft in {files.picture.parent}/:")
    click.echo(f"  {files.picture.name:26} look at this first: the spectrogram with all boxes")
    click.echo(f"  {files.table.name:26} open it in Raven together with {files.recording.name}")
    click.echo(f"  {files.database.name:26} SQLite: open it in Datasette, pandas or `sqlite3`")
    click.echo("\nwhat to try next:")
    click.echo("  detector replay FOLDER --db my.db        your own recordings: WAV, FLAC, OGG, MP3")
    click.echo("  detector export csv --db my.db           a table for a spreadsheet")
    click.echo("  detector doctor                          is this machine ready for more?")


def _row(pair: Pair) -> tuple[str, str, str, str, str]:
    planted = pair.planted
    at = f"{planted.start_s:.2f} - {planted.end_s:.2f} s"
    loud = "" if planted.snr_db is None else f"{planted.snr_db:.0f} dB"
    if pair.detected is None:
        return at, planted.text, loud, "missed", ""
    return at, planted.text, loud, f"{pair.detected.start_s:.2f} - {pair.detected.end_s:.2f} s", pair.detected.text
