"""The time step of a graph: the option, the graph's metadata, or the time constants of its neurons."""

from __future__ import annotations

import nir

from neuroprivacy.lowering.discretize import derive_dt
from neuroprivacy.lowering.ir.continuous import ContinuousNetwork, TimeStepOrigin
from neuroprivacy.lowering.options import FrontEndContext


def choose_time_step(graph: nir.NIRGraph, context: FrontEndContext) -> ContinuousNetwork:
    """Decide the time step with which the graph is put into discrete time.

    Raises:
        ConfigurationError: no source gives a time step.
    """
    options, info = context.options, context.info
    stated = options.dt_s or info.dt_s
    origin: TimeStepOrigin = "option" if options.dt_s else "graph" if stated else "derived"
    dt_s, found = (stated, ()) if stated else derive_dt(graph)
    return ContinuousNetwork(
        graph=graph, info=info, dt_s=dt_s, dt_origin=origin, rule=options.rule, input_max=options.input_max,
        diagnostics=found,
    )  # fmt: skip
