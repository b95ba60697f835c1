"""Options that several commands share, and how they override config.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def config_option(function: Function) -> Function:
    """`--config FILE`; without it, config.yaml of the current folder where there is one."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Settings. Default: config.yaml in this folder if there is one, else the built-in defaults.",
    )(function)


def db_option(function: Function) -> Function:
    """`--db FILE`; without it, the path in config.yaml."""
    return click.option(
        "--db",
        "db_path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="SQLite file with the detections. Default: store.path of the settings (detections.db).",
    )(function)


def json_option(function: Function) -> Function:
    """`--json`: the same facts for a program."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(function)


def find_config(config_path: Path | None) -> Path | None:
    """The settings file in force: the one asked for, else config.yaml of this folder, else none."""
    from detector.config import CONFIG_NAME

    if config_path is not None:
        return config_path
    beside = Path(CONFIG_NAME)
    return beside if beside.is_file() else None


def database(db_path: Path | None, config_path: Path | None) -> Path:
    """The database in force: the one asked for, else that of the settings."""
    from detector.config import load_settings

    return db_path if db_path is not None else Path(load_settings(find_config(config_path)).store.path)
