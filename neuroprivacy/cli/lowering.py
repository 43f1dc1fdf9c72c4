"""Options of lowering, shared by every command that turns a graph into integers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from neuroprivacy.cli import options

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class WeightBits(click.ParamType[Any]):
    """Click type of `--weight-bits`: 2 ... 8, or `ternary`."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert the option's text to a number, or keep the word `ternary`."""
        if value == "ternary" or isinstance(value, int):
            return value
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of bits nor 'ternary'", param, ctx)


_OPTIONS = (
    options.target,
    click.option("--weight-bits", type=WeightBits(), help="2 ... 8 or ternary; default: the width of the target."),
    click.option("--dt", "dt_s", type=float, help="Duration of a time step in seconds; default: that of the graph."),
    click.option(
        "--discretization",
        "rule",
        type=click.Choice(["euler", "exponential"]),
        default="euler",
        show_default=True,
        help="Discretization of time constants to decay factors.",
    ),
    click.option(
        "--constants",
        type=click.Choice(["exact", "mean"]),
        default="exact",
        show_default=True,
        help="Decays that differ by neuron where the target has one per layer and populations do not help: refused "
        "(exact), or averaged (mean).",
    ),
    click.option(
        "--populations",
        type=options.COUNT,
        default=4,
        show_default=True,
        help="Largest number of populations of a layer, where the target has one threshold and decay for each.",
    ),
    click.option(
        "--calibration",
        type=options.FILE,
        help="Samples that scales and rounding are chosen on: a folder of synthetic images, or an npz of spikes.",
    ),
    click.option(
        "--input-max", type=options.COUNT, default=1, show_default=True, help="Largest event count of an input."
    ),
    click.option(
        "--time-steps",
        "--steps",
        "time_steps",
        type=options.COUNT,
        help="Input time steps that value ranges are proved for; default: those of the graph.",
    ),
    click.option("--strict", is_flag=True, help="Refuse a network with diagnostics."),
    options.seed,
)
_NAMES = ("weight_bits", "dt_s", "rule", "constants", "populations", "input_max", "time_steps", "strict", "seed")


def lowering(command: Decorated) -> Decorated:
    """Options of lowering; the command gets them as `target` and `choices` (see `lower_options`)."""

    @wraps(command)
    def wrapped(**given: Any) -> Any:
        """Gather the lowering options into one `LowerOptions` argument."""
        choices = {name: given.pop(name) for name in (*_NAMES, "calibration")}
        return command(choices=choices, **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def lower_options(graph: Any, choices: dict[str, Any]) -> Any:
    """The `LowerOptions` of what `lowering` gathered.

    Raises:
        BadFile: the calibration cannot be read.
        ConfigurationError: an option, or the calibration, does not fit.
    """
    from neuroprivacy.lowering import LowerOptions
    from neuroprivacy.synthesis.calibration import load_calibration

    given = {name: choices[name] for name in _NAMES}
    LowerOptions(**given)  # refuses a wrong option before the calibration is read
    source: Path | None = choices["calibration"]
    calibration = None if source is None else load_calibration(graph, source, seed=choices["seed"])
    return LowerOptions(**given, calibration=calibration)
