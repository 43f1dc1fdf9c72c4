"""All hand-made cases, by what they pin: neurons, maps, time."""

from __future__ import annotations

from neuroprivacy.testing.case import Case
from neuroprivacy.testing.cases_maps import map_cases
from neuroprivacy.testing.cases_neurons import neuron_cases
from neuroprivacy.testing.cases_time import time_cases


def hand_made_cases() -> tuple[Case, ...]:
    """Every hand-made case, in a fixed order."""
    return (*neuron_cases(), *map_cases(), *time_cases())
