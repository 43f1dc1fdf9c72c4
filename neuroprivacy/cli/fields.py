"""Options of `train --spiking`, as settings of a spiking network."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from neuroprivacy.core.errors import ConfigurationError


def spiking_spec(beta: float, reset: Any, coding: Any, time_steps: int, surrogate: str, schedule: Any) -> Any:
    """The `SpikingSpec` of the options."""
    from neuroprivacy.networks import SpikingSpec

    return SpikingSpec(
        beta=beta, reset=reset, coding=coding, time_steps=time_steps, surrogate=surrogate, schedule=schedule
    )


def refuse_spiking_options() -> None:
    """Refuse options of spiking networks where an ANN is trained: they would have no effect.

    Raises:
        ConfigurationError: one of them was given.
    """
    context = click.get_current_context()
    for name in ("surrogate", "beta", "reset", "coding", "schedule", "time_steps"):
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise ConfigurationError(f"train: --{name.replace('_', '-')} needs --spiking; an ANN has no such setting")
