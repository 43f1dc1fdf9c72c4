"""The real-valued IR in continuous time: a flat NIR graph with the time step that discretizes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import nir

from neuroprivacy.core.errors import Issue
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering.discretize import Rule

#: The origin of a time step: an option, the metadata of the graph, or the time constants of its neurons.
TimeStepOrigin = Literal["option", "graph", "derived"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContinuousNetwork:
    """A graph without nested graphs, and how its time is discretized.

    Attributes:
        graph: nodes with time constants in seconds.
        info: metadata of the graph.
        dt_s: time step, seconds.
        dt_origin: where the time step comes from.
        rule: how time constants become decay factors.
        input_max: largest event count of an input that has no encoder.
        diagnostics: of the passes so far.
    """

    graph: nir.NIRGraph
    info: GraphInfo
    dt_s: float
    dt_origin: TimeStepOrigin
    rule: Rule
    input_max: int
    diagnostics: tuple[Issue, ...] = ()
