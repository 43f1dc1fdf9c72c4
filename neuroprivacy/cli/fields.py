"""Options of `train` that need --spiking."""

from __future__ import annotations

import click
from click.core import ParameterSource

from neuroprivacy.core.errors import ConfigurationError


def refuse_spiking_options() -> None:
    """Refuse options of spiking networks where an ANN is trained: they would have no effect.

    Raises:
        ConfigurationError: one of them was given.
    """
    context = click.get_current_context()
    for name in ("surrogate", "beta", "reset", "coding", "schedule", "time_steps"):
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise ConfigurationError(f"train: --{name.replace('_', '-')} needs --spiking; an ANN has no such setting")
