"""Options that several commands share, each in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from neuroprivacy.core.errors import ConfigurationError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
COUNT = click.IntRange(min=1)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
seed = click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**31 - 1),
    default=0,
    show_default=True,
    help="Seed of everything random; recorded.",
)
resume = click.option("--resume", is_flag=True, help="Continue what an interrupted run left in --out.")
threads = click.option(
    "--threads", type=COUNT, default=1, show_default=True, help="Torch threads; they change floating-point results."
)
device = click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
data_root = click.option(
    "--data-root", type=FOLDER, help="Folder of data sets; else NEUROPRIVACY_DATA, else the cache."
)
download = click.option("--download", is_flag=True, help="Fetch the data set if it is missing.")
target = click.option("--target", default="loihi2", show_default=True, help="Name, or a .toml file.")
time_steps = click.option("--time-steps", "--steps", "time_steps", type=COUNT, default=16, show_default=True, help="T.")
source = click.option("--input", "source", type=FILE, help="npz with `spikes` and optionally `labels`.")
samples = click.option("--samples", type=COUNT, help="Number of samples, the first ones.")


class ResetRule(click.Choice[str]):
    """`hard` or `soft`; snnTorch's names `zero` and `subtract` are accepted and give the same values."""

    def __init__(self) -> None:
        super().__init__(["hard", "soft"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The rule under its own name."""
        return super().convert({"zero": "hard", "subtract": "soft"}.get(value, value), param, ctx)


reset = click.option(
    "--reset", type=ResetRule(), default="hard", show_default=True, help="zero and subtract are accepted too."
)


def out(default: str) -> Callable[[Decorated], Decorated]:
    """The option `--out`: the output folder."""
    return click.option("--out", type=FOLDER, default=Path(default), show_default=True, help="Folder to write.")


def dataset(text: str) -> Callable[[Decorated], Decorated]:
    """A data set by name, in place of --input."""
    return click.option("--dataset", help=text)


def load(name: str | None, data_root: Path | None) -> Any:
    """The data set of --dataset; None without a name."""
    from neuroprivacy.data import load_dataset

    return None if name is None else load_dataset(name, data_root=data_root)


def refuse_both(command: str, dataset: str | None, source: Path | None) -> None:
    """Refuse --dataset with --input, and neither of them.

    Raises:
        ConfigurationError: not exactly one is given.
    """
    if (dataset is None) == (source is None):
        raise ConfigurationError(f"{command}: give either --dataset or --input")
