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
    """2 ... 8, or `ternary`."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word, or the number."""
        if value == "ternary" or isinstance(value, int):
            return value
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of bits nor 'ternary'", param, ctx)


_OPTIONS = (
    options.target,
    click.option("--weight-bits", type=WeightBits(), help="2 ... 8 or ternary; default: all that the target has."),
    click.option("--dt", "dt_s", type=float, help="Time step in seconds; default: what the graph says or implies."),
    click.option(
        "--discretization",
        "rule",
        type=click.Choice(["euler", "exponential"]),
        default="euler",
        show_default=True,
        help="How time constants become decays.",
    ),
    click.option(
        "--constants",
        type=click.Choice(["exact", "mean"]),
        default="exact",
        show_default=True,
        help="Decays that differ by neuron where the target has one per layer and populations do not help: refuse "
        "them, or take their mean.",
    ),
    click.option(
        "--populations",
        type=options.COUNT,
        default=4,
        show_default=True,
        help="Most populations that a layer may become, where the target has one threshold and decay for each.",
    ),
    click.option(
        "--calibration",
        type=options.FILE,
        help="Samples to choose scales and rounding by: a folder of synthetic images, or an npz of spikes.",
    ),
    click.option(
        "--input-max", type=options.COUNT, default=1, show_default=True, help="Largest event count of an input."
    ),
    click.option(
        "--steps",
        "time_steps",
        type=options.COUNT,
        help="Input time steps to prove ranges for; default: what the graph says.",
    ),
    click.option("--strict", is_flag=True, help="Refuse a network with diagnostics."),
    options.seed,
)
_NAMES = ("weight_bits", "dt_s", "rule", "constants", "populations", "input_max", "time_steps", "strict", "seed")


def lowering(command: Decorated) -> Decorated:
    """Options of lowering; the command gets them as `target` and `choices` (see `lower_options`)."""

    @wraps(command)
    def wrapped(**given: Any) -> Any:
        """Gather the options into one argument."""
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

    plain = LowerOptions(**{name: choices[name] for name in _NAMES})
    source: Path | None = choices["calibration"]
    if source is None:
        return plain
    from dataclasses import replace

    return replace(plain, calibration=_calibration(graph, source, plain))


def _calibration(graph: Any, source: Path, plain: Any) -> dict[str, Any]:
    """Calibration samples by port."""
    from neuroprivacy.data import load_spikes
    from neuroprivacy.graph.encode import encode_for
    from neuroprivacy.synthesis.class_impressions import load_synthetic

    if source.is_dir():
        return encode_for(graph, load_synthetic(source).images[:200], seed=plain.seed)
    spikes, _ = load_spikes(source)
    (port,) = (name for name, node in graph.nodes.items() if type(node).__name__ == "Input")
    return {port: spikes.reshape(*spikes.shape[:2], -1).astype("int64")}
