"""Options that several commands share, each in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

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
    help="Of everything random; recorded.",
)
resume = click.option("--resume", is_flag=True, help="Go on from what an interrupted run left in --out.")
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


class Reset(click.Choice[str]):
    """hard or soft; `zero` and `subtract` are taken for them."""

    _ALIASES: ClassVar[dict[str, str]] = {"zero": "hard", "subtract": "soft"}

    def __init__(self) -> None:
        super().__init__(["hard", "soft"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The rule."""
        return super().convert(self._ALIASES.get(value, value), param, ctx)


reset = click.option(
    "--reset",
    type=Reset(),
    default="hard",
    show_default=True,
    help="Of the membrane after a spike: hard to zero, soft by the threshold (zero and subtract are accepted, too).",
)


def out(default: str) -> Callable[[Decorated], Decorated]:
    """The output folder."""
    return click.option("--out", type=FOLDER, default=Path(default), show_default=True, help="Folder to write.")
