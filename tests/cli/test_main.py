"""The command starts fast, finds its sub-commands, and turns errors into two plain lines."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from detector.cli.main import COMMANDS, LazyGroup, cli

COMMAND = [sys.executable, "-m", "detector.cli.main"]


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, cwd=folder, timeout=60, check=False)


def test_help_takes_less_than_half_a_second() -> None:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        done = run("--help")
        times.append(time.perf_counter() - started)
        assert done.returncode == 0
    assert min(times) < 0.5  # the fastest, because other tests may share the machine


def test_help_lists_every_command_with_one_line() -> None:
    shown = run("--help").stdout
    for name, summary in COMMANDS.items():
        assert f"  {name} " in shown
        assert summary in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listed_line_is_the_first_of_the_commands_own_help(name: str) -> None:
    command = importlib.import_module(f"detector.cli.{name}").command
    assert isinstance(command, click.Command)
    assert command.help is not None
    assert command.help.splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    group = cli
    assert isinstance(group, LazyGroup)
    command = group.get_command(click.Context(group), name)
    assert command is not None
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert silent == []


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    done = run("repaly")
    assert done.returncode == 2
    assert done.stderr == "error: there is no command 'repaly'\nhint: did you mean 'replay'?\n"


def test_a_wrong_option_is_an_error_with_a_hint() -> None:
    done = run("replay", "--workers", "0", "x.wav")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("error: ")
    assert done.stderr.splitlines()[1] == "hint: see detector replay --help"


def test_a_config_error_is_two_lines_without_traceback(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("bundel: default\n")
    done = run("replay", "x.wav", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: config.yaml: unknown key 'bundel'\nhint: did you mean 'bundle'?\n"


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip() == f"detector, version {version('field-detector')}"


def test_a_closed_pipe_is_left_quietly() -> None:
    line = f"{sys.executable} -m detector.cli.main --help | true; {sys.executable} -m detector.cli.main models list --json | head -c 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
