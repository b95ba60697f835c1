"""`detector export`: detections as files for other programs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path

import click

from detector.cli.options import config_option, db_option, find_config

ENDINGS = {"raven": ".selections.txt", "audacity": ".txt", "csv": ".csv", "json": ".jsonl"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@click.command(name="export")
@click.argument("form", metavar="FORMAT", type=click.Choice(list(ENDINGS)))
@db_option
@config_option
@click.option("--since", metavar="TIME", help="From this time on, such as 2026-04-01 or 2026-04-01T04:30+03:00.")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--class", "labels", multiple=True, metavar="NAME", help="This class only; may be given several times.")
@click.option("--station", metavar="NAME", help="This station only.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), metavar="P", help="All candidates from P on, whatever the threshold.")
@click.option("--run", "run_id", metavar="ID", help="What this run found, in force or not.")
@click.option("--per-recording", is_flag=True, help="A table for each recording, in a folder.")
@click.option("--out", "--output", "output", type=click.Path(path_type=Path), metavar="PATH", help="File, or folder with --per-recording.")
@click.option("--overwrite", is_flag=True, help="Replace files that hold something else.")
def command(
    form: str,
    db_path: Path | None,
    config_path: Path | None,
    since: str | None,
    until: str | None,
    labels: tuple[str, ...],
    station: str | None,
    min_confidence: float | None,
    run_id: str | None,
    per_recording: bool,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Write detections for Raven, Audacity, a spreadsheet or a program.

    FORMAT is raven (selection tables), audacity (label tracks), csv, or json (one object a line). Without --min-confidence the
    detections at the thresholds in force are written. Without --out: detections with the ending of the format, in this folder.

    A TIME without zone is read in station.time_zone of the settings, or as UTC where that is not set.
    """
    from detector.config import load_settings
    from detector.store.events import EventFilter
    from detector.store.export import write_export

    settings = load_settings(find_config(config_path))
    database = Path(settings.store.path) if db_path is None else db_path
    zone = settings.station.zone
    first, last = (None if text is None else utc_ns(text, timezone.utc if zone is None else zone) for text in (since, until))
    if output is None:
        output = Path(f"detections-{form}" if per_recording else f"detections{ENDINGS[form]}")
    wanted = EventFilter(first, last, labels, min_confidence, run_id, station)
    summary = write_export(database, form, output, wanted, per_recording, overwrite)
    where = f"{summary.files} files in {output}" if per_recording else f"{output}"
    click.echo(f"{summary.events} events in {where}")
    if summary.without_time:
        click.echo(f"note: {summary.without_time} events were left out because their time is not known", err=True)


def utc_ns(text: str, zone: tzinfo) -> int:
    """Nanoseconds since 1970 of a date or time; ``zone`` holds where the text names none.

    Raises
    ------
    ExportError
        If the text is not a time.
    """
    from detector.errors import ExportError

    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError as error:
        raise ExportError(f"{text!r} is not a time", "write 2026-04-01, 2026-04-01T04:30 or 2026-04-01T04:30+03:00") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
