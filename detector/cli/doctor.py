"""`detector doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from detector.cli.options import config_option, db_option, find_config, json_option

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(name="doctor")
@db_option
@config_option
@json_option
def command(db_path: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Check this machine and say what to do about what is wrong.

    Looks at the installed packages, processor, memory, disk, clock, SQLite, the database, sound inputs, the accelerator, the bundle,
    and how fast the engine is that would be used. Exit code: 0 nothing failed, 1 something did.
    """
    from detector.config import load_settings
    from detector.service.doctor import examine

    config = find_config(config_path)
    settings = load_settings(config)
    if db_path is not None:
        settings = settings.model_copy(update={"store": settings.store.model_copy(update={"path": str(db_path)})})
    findings = []
    for finding in examine(settings, None if config is None else config.parent):
        findings.append(finding)
        if not as_json:
            level = finding.level.value
            click.echo(f"{click.style(f'{level:4}', fg=COLOURS[level])}  {finding.name:13}  {finding.value}")
            if finding.advice:
                click.echo(f"{'':21}-> {finding.advice}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    if any(finding.level.value == "fail" for finding in findings):
        raise click.exceptions.Exit(1)
