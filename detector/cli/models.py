"""`detector models`: what bundles there are, what one can hear, and whether its files are whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detector.cli.options import config_option, find_config, json_option

if TYPE_CHECKING:
    from detector.model.bundle import Bundle, BundleEntry


@click.group(name="models")
def command() -> None:
    """Show and check the bundles that are installed.

    A bundle is a folder with a trained ear: its card, its weights and its heads. A name is looked for in models/ beside the
    settings, then in $DETECTOR_MODELS, then among those that came with the program; a path is taken as it is.
    """


def _load(name: str, config_path: Path | None) -> Bundle:
    from detector.model.bundle import find_bundle, load_bundle

    return load_bundle(find_bundle(name, _folder(config_path)))


def _folder(config_path: Path | None) -> Path | None:
    config = find_config(config_path)
    return None if config is None else config.parent


@command.command(name="list")
@config_option
@json_option
def list_command(config_path: Path | None, as_json: bool) -> None:
    """Names of all bundles that can be found, with their classes."""
    from detector.model.bundle import list_bundles, model_folders

    entries = list_bundles(_folder(config_path))
    if as_json:
        click.echo(json.dumps([_row(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    for entry in entries:
        row = _row(entry)
        what = f"cannot be used: {entry.problem}" if entry.card is None else f"{', '.join(row['classes'])} at {row['sample_rate_hz']} Hz"
        click.echo(f"{entry.name}\t{what}\t{entry.path}")
    if not entries:
        looked = ", ".join(str(folder) for folder in model_folders(_folder(config_path)))
        click.echo(f"no bundle in {looked}; set DETECTOR_MODELS to a folder that holds some", err=True)


def _row(entry: BundleEntry) -> dict[str, Any]:
    row: dict[str, Any] = {"name": entry.name, "path": str(entry.path)}
    if entry.card is None:
        return {**row, "problem": entry.problem}
    return {**row, "classes": [facts.label for _, facts in entry.card.columns], "sample_rate_hz": entry.card.sample_rate_hz}


@command.command(name="show")
@click.argument("name")
@config_option
@json_option
def show_command(name: str, config_path: Path | None, as_json: bool) -> None:
    """The card of one bundle: licence, classes, band, size, and what was measured."""
    bundle = _load(name, config_path)
    values = bundle.card.model_dump(mode="json")
    if as_json:
        click.echo(json.dumps({**values, "path": str(bundle.path), "hash": bundle.hash}, ensure_ascii=False, indent=2))
        return
    from detector.model.card import card_text

    click.echo(f"# {bundle.path}\n# hash {bundle.hash}\n{card_text(bundle.card)}", nl=False)


@command.command(name="verify")
@click.argument("name")
@config_option
def verify_command(name: str, config_path: Path | None) -> None:
    """Check every file of a bundle against its card, and its scores against those it gave when it was made."""
    from detector.model.engine import make_engine
    from detector.service.verify import TOLERANCE, golden_difference

    bundle = _load(name, config_path)
    click.echo(f"card and {len(bundle.card.weights)} files: whole, hash {bundle.hash}")
    engine = make_engine(bundle)
    difference = golden_difference(bundle, engine)
    if difference is None:
        click.echo("golden scores: the bundle carries none")
    else:
        click.echo(f"golden scores: {engine.name} within {difference:.1e} in logits ({TOLERANCE:g} is allowed)")
