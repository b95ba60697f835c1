"""`detector replay`: recordings in, detections and effort in SQLite out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detector.cli.options import config_option, db_option, find_config, json_option
from detector.cli.progress import hours, reporter, times_real_time

if TYPE_CHECKING:
    from detector.config import Settings
    from detector.service.replay import ReplaySummary

EXIT_BAD_RECORDINGS = 1
EXIT_STOPPED = 130
SHOWN_BAD = 20


def _workers(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """auto, or how many processes."""
    if value is None or value == "auto":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither auto nor a whole number of at least 1", ctx, param)
    return int(value)


@click.command(name="replay")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@db_option
@config_option
@click.option("--bundle", metavar="NAME", help="Folder in models/, or a path. Default: bundle of the settings.")
@click.option("--workers", callback=_workers, metavar="N", help="Processes, or auto: one per processor core.")
@click.option("--engine", type=click.Choice(["auto", "onnx", "torch"]), help="What runs the network.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs.")
@click.option("--quiet", is_flag=True, help="No progress; the summary and errors only.")
@json_option
def command(paths: tuple[str, ...], db_path: Path | None, config_path: Path | None, quiet: bool, as_json: bool, **overrides: Any) -> None:
    """Work through recordings and write down what was heard.

    PATH is a file, a folder (searched with all its sub-folders) or a quoted pattern such as 'card*/2026*.wav'.
    What was done is done: stop at any moment and run the same command again to go on.

    Exit code: 0 well, 1 some recordings were bad (they are listed, the rest was done), 2 error, 130 stopped.
    """
    from detector.config import load_settings
    from detector.service.replay import replay

    config = find_config(config_path)
    settings = override(load_settings(config), db_path, **overrides)
    try:
        with reporter(quiet or as_json) as on_progress:
            summary = replay(paths, settings, config_dir=config.parent if config else None, on_progress=on_progress)
    except KeyboardInterrupt:
        click.echo(f"stopped: finished recordings are in {settings.store.path}", err=True)
        click.echo("hint: run the same command again to go on where it stopped", err=True)
        raise click.exceptions.Exit(EXIT_STOPPED) from None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary), default=str, ensure_ascii=False, indent=2))
    else:
        show(summary, settings.store.path)
    if summary.recordings_bad:
        raise click.exceptions.Exit(EXIT_BAD_RECORDINGS)


def override(
    settings: Settings, db_path: Path | None, bundle: str | None, workers: int | str | None, engine: str | None, device: str | None
) -> Settings:
    """Settings with what the command line says instead; None leaves a setting as it is."""
    values = settings.model_dump()
    given = {
        ("store", "path"): None if db_path is None else str(db_path),
        ("replay", "workers"): workers,
        ("engine", "name"): engine,
        ("engine", "device"): device,
    }
    for (section, key), value in given.items():
        if value is not None:
            values[section][key] = value
    if bundle is not None:
        values["bundle"] = bundle
    return type(settings).model_validate(values)


def show(summary: ReplaySummary, db_path: str) -> None:
    """Print the summary as a table, then the bad recordings and the notes."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    counts = f"{summary.recordings_new} new, {summary.recordings_unchanged} unchanged, {len(summary.recordings_bad)} bad"
    table.add_row("recordings", counts)
    speed = times_real_time(summary.audio_s, summary.elapsed_s)
    table.add_row("audio", f"{hours(summary.audio_s)} in {summary.elapsed_s:.1f} s ({speed} real time)")
    table.add_row("candidates", f"{summary.events} stored above the floor")
    found = ", ".join(f"{label} {count}" for label, count in sorted(summary.detections.items()))
    table.add_row("detections", found if found else "none")
    table.add_row("database", db_path)
    table.add_row("run", summary.run_id)
    Console(highlight=False, soft_wrap=True).print(table)
    for path, reason in summary.recordings_bad[:SHOWN_BAD]:
        click.echo(f"bad: {path}: {reason}", err=True)
    if len(summary.recordings_bad) > SHOWN_BAD:
        click.echo(f"bad: and {len(summary.recordings_bad) - SHOWN_BAD} more; all are in the table effort", err=True)
    for note in summary.notes:
        click.echo(f"note: {note}", err=True)
