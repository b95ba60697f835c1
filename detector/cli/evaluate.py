"""`detector evaluate`: detections beside labels made by a person."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detector.cli.options import config_option, database, db_option, json_option

if TYPE_CHECKING:
    from detector.evaluate.metrics import ClassResult, Estimate
    from detector.service.comparison import Comparison

SHOWN_MISSING = 10


def _rules(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    rules = []
    for value in values:
        pattern, equals, meaning = value.partition("=")
        if not pattern or not equals:
            raise click.BadParameter(f"{value!r} is not PATTERN=CLASS", ctx, param)
        rules.append((pattern, meaning))
    return rules


@click.command(name="evaluate")
@click.argument("labels", type=click.Path(path_type=Path))
@db_option
@config_option
@click.option("--threshold", type=click.FloatRange(0, 1), metavar="P", help="Confidence for all classes, not the thresholds in force.")
@click.option("--map", "rules", multiple=True, callback=_rules, metavar="PATTERN=CLASS", help="Labels that mean a class; may be repeated.")
@click.option("--label-column", metavar="NAME", help="Column of a Raven table that holds the label.")
@click.option("--all-labelled", is_flag=True, help="Recordings that no table names were labelled too: they hold nothing.")
@json_option
def command(
    labels: Path,
    db_path: Path | None,
    config_path: Path | None,
    threshold: float | None,
    rules: list[tuple[str, str]],
    label_column: str | None,
    all_labelled: bool,
    as_json: bool,
) -> None:
    """Compare detections with labels made by a person.

    LABELS is a Raven selection table, an Audacity label track, a CSV with the columns file,start_s,end_s,label, or a folder of these.

    A detection and a label are a pair when they overlap by more than 0.3 of the span that both cover together (IoU > 0.3). F1,
    precision and recall come from the largest one-to-one pairing; average precision is given at IoU > 0.3 and > 0.5; brackets hold the
    95 % interval of a bootstrap over recordings.
    """
    from detector.service.comparison import compare

    comparison = compare(labels, database(db_path, config_path), threshold, rules, label_column, all_labelled)
    if as_json:
        click.echo(json.dumps(comparison.to_dict(), ensure_ascii=False, indent=2))
    else:
        show(comparison)


def show(comparison: Comparison) -> None:
    """Print one block for each class, then what was left out."""
    evaluation = comparison.evaluation
    for result in evaluation.classes:
        _show_class(result)
    click.echo(f"{evaluation.n_recordings} recordings, {evaluation.hours:.2f} h")
    if evaluation.n_left_out:
        left_out = f"{evaluation.n_left_out} recordings ({evaluation.hours_left_out:.2f} h)"
        click.echo(f"note: {left_out} have no labels and do not count", err=True)
    missing = comparison.recordings_missing
    if missing:
        shown = ", ".join(missing[:SHOWN_MISSING]) + (" ..." if len(missing) > SHOWN_MISSING else "")
        lost = comparison.n_labels_without_recording
        click.echo(f"note: {lost} labels belong to {len(missing)} recordings that are not in the database: {shown}", err=True)


def _show_class(result: ClassResult) -> None:
    click.echo(f"{result.label}, from confidence {result.threshold:g}: {result.n_labels} labels in {result.hours:.2f} h")
    rows = {
        "F1": result.f1,
        "precision": result.precision,
        "recall": result.recall,
        "AP, IoU > 0.3": result.ap30,
        "AP, IoU > 0.5": result.ap50,
        "false per hour": result.false_per_hour,
    }
    for name, estimate in rows.items():
        click.echo(f"  {name:15} {_estimate(estimate)}")


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not defined"
    interval = "" if math.isnan(estimate.low) else f"  [{estimate.low:.3g}, {estimate.high:.3g}]"
    return f"{estimate.value:.3g}{interval}"
