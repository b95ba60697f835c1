"""The command `detector`: finds the sub-command, runs it, and turns errors into two plain lines."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import NoReturn

import click

from detector.errors import DetectorError

COMMANDS = {
    "replay": "Work through recordings and write down what was heard.",
    "export": "Write detections for Raven, Audacity, a spreadsheet or a program.",
    "evaluate": "Compare detections with labels made by a person.",
    "models": "Show and check the bundles that are installed.",
    "doctor": "Check this machine and say what to do about what is wrong.",
    "bench": "Measure how fast this machine replays, and what it costs.",
    "train": "Train a bundle from a recipe, or measure one again.",
    "demo": "Make a small scene, replay it, and show planted against detected.",
}
"""Name and one-line help of every command; a command is imported only when it is asked for."""

EXIT_ERROR = 2
EXIT_STOPPED = 130


class _UsageError(DetectorError):
    """The command line names something that does not exist."""


class LazyGroup(click.Group):
    """A group whose commands live in modules of the same name, imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command; None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"detector.cli.{cmd_name}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        if args[0] not in COMMANDS:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise _UsageError(f"there is no command {args[0]!r}", f"did you mean {close[0]!r}?" if close else "see detector --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="field-detector", prog_name="detector")
def cli() -> None:
    """Which animals called in these recordings, when, and how far the answer can be trusted.

    Start with `detector demo`, then `detector replay FOLDER`. Every command has --help.
    """


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if isinstance(context, click.Context) else ""


def _fail(message: str, hint: str = "") -> NoReturn:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    sys.exit(EXIT_ERROR)


def _quiet_exit_on_closed_pipe() -> NoReturn:
    """The reader, such as `head`, has seen enough: leave without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def main() -> None:
    """Entry point of the command. Exit codes: 0 well, 1 found something bad, 2 error, 130 stopped."""
    try:
        code = cli.main(prog_name="detector", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _quiet_exit_on_closed_pipe()
    except click.ClickException as error:
        _fail(error.format_message(), _usage(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(EXIT_STOPPED)
    except DetectorError as error:
        _fail(error.message, error.hint)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{place}", "check the path, its permissions and the free space of its disk")
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
