"""`detector train`: a bundle from recordings and synthetic scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from detector.train.fit import Progress


@click.command(name="train")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--audio", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder with split.csv and the recordings.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the bundle; replaced when done.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Processor threads for the network.")
@click.option("--only", type=click.Choice(["evaluate"]), help="Measure the bundle in --out again, without training.")
def command(recipe: Path, audio: Path, out: Path, threads: int, only: str | None) -> None:
    """Train a bundle from a recipe, or measure one again.

    RECIPE is a YAML file such as models/default/recipe.yaml. Only recordings of the split "train" under permitted licences are learned
    from; those of the split "test" give the numbers on the card, beside two detectors without learning. A run that was stopped goes on
    where it was. Needs the extra "torch".
    """
    from detector.errors import TrainingError
    from detector.train.recipe import load_recipe

    loaded = load_recipe(recipe)
    try:
        from detector.train.assess import LEGEND, table
        from detector.train.training import evaluate_bundle, existing_bundle, train_bundle
    except ImportError as error:
        raise TrainingError(f"training needs torch: {error}", "pip install 'field-detector[torch]'") from error

    if only == "evaluate":
        bundle = evaluate_bundle(loaded, audio, existing_bundle(out), _say)
    else:
        with _Bar() as bar:
            bundle = train_bundle(loaded, audio, out, threads, bar.say, bar.show)
    click.echo(LEGEND)
    click.echo(table(bundle.card.measured))


def _say(text: str) -> None:
    click.echo(text, err=True)


class _Bar:
    """Progress of a run: a bar on a terminal, a line every hundred steps elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("training", total=None, visible=False)
        self._terminal = self._console.is_terminal

    def __enter__(self) -> _Bar:
        if self._terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def show(self, progress: Progress, steps: int) -> None:
        """Show where the run is."""
        loss = progress.losses[-1][1] if progress.losses else float("nan")
        best = f", best {progress.best_score:.3f} at {progress.best_step}" if progress.judgements else ""
        self._bar.update(self._task, completed=progress.step, total=steps, visible=True, description=f"loss {loss:.3f}{best}")
        if not self._terminal and progress.step % 100 == 0:
            self.say(f"step {progress.step} of {steps}, loss {loss:.4f}{best}, {progress.seconds / 60:.1f} min")
