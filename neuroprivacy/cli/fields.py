"""Option names of the command line and the library's names for them."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.neuron import Reset

#: Reset rules by the library's names and by snnTorch's.
RESETS: dict[str, Reset] = {"hard": "hard", "soft": "soft", "zero": "hard", "subtract": "soft"}


def spiking_fields(beta: float, reset: Reset, coding: str, steps: int, surrogate: str) -> dict[str, Any]:
    """Fields of `SpikingSpec` beside the model."""
    return {"beta": beta, "reset": reset, "coding": coding, "steps": steps, "surrogate": surrogate}


def refuse_spiking_options() -> None:
    """Refuse options of spiking networks where an ANN is trained: they would have no effect.

    Raises:
        ConfigurationError: one of them was given.
    """
    context = click.get_current_context()
    for name in ("surrogate", "beta", "reset", "coding", "schedule", "steps"):
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            option = "time-steps" if name == "steps" else name
            raise ConfigurationError(f"train: --{option} needs --spiking; an ANN has no such option")
