"""The runs that are compared, in one form: aligned in time, in the units of the graph.

`float` is the graph in float64 without latency. `reference` and every backend are integers, whose layer of latency d
computes input step k in time step k + d. `torch` is the checkpoint that the graph was made of (spikes only).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.lowering import Lowered
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.runtime.backend import Record, RunResult, backend_names, build, load_backend
from neuroprivacy.runtime.reference import run_reference

#: Runs that are no backends.
RUNS = ("float", "torch", "reference")
#: Runs the float torch network on the port's integers: layer name -> spikes (samples, steps, neurons).
TorchRun = Callable[[Mapping[str, Int64]], dict[str, NDArray[np.uint8]]]


Number = TypeVar("Number", np.uint8, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """The recorded spikes and states of one run of a network.

    Attributes:
        name: "float", "torch", "reference" or a backend.
        spikes: layer -> uint8 (samples, time steps, neurons), each at the input step that it answers.
        u: likewise the current, in units of the graph; None if unknown.
        v: likewise the membrane after the reset.
        result: of the simulator; None for a run of real numbers.
    """

    name: str
    spikes: Mapping[str, NDArray[np.uint8]]
    u: Mapping[str, Float64] | None = None
    v: Mapping[str, Float64] | None = None
    result: RunResult | None = None


def run_named(name: str, lowered: Lowered, inputs: Mapping[str, Int64], *, torch_run: TorchRun | None = None) -> Run:
    """Run a network by the name of the run.

    Raises:
        ConfigurationError: there is no such run, or no torch network.
    """
    if name == "float":
        done = run_float(lowered.real_network, inputs)
        scales = {layer.name: layer.state_scale for layer in lowered.real_network.layers}
        return Run(
            name=name, spikes=done.spikes, u={n: a * scales[n] for n, a in done.u.items()},
            v={n: a * scales[n] for n, a in done.v.items()},
        )  # fmt: skip
    if name == "torch":
        if torch_run is None:
            raise ConfigurationError("trace: torch needs one of our checkpoints; a .nir file has no torch network")
        return Run(name=name, spikes=_by_population(torch_run(inputs), lowered))
    if name == "reference":
        return _aligned(name, lowered, inputs, run_reference(lowered.program, inputs, record=_EVERYTHING))
    if name not in backend_names():
        known = ", ".join(dict.fromkeys((*RUNS, *backend_names())))
        raise ConfigurationError(f"trace: {name!r} is no run; choose two of {known}")
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-trace-") as scratch:
        artifact = build(lowered.program, backend=name, folder=Path(scratch))
        return _aligned(name, lowered, inputs, load_backend(name).run(artifact, inputs, _EVERYTHING))


def _by_population(spikes: Mapping[str, NDArray[np.uint8]], lowered: Lowered) -> dict[str, NDArray[np.uint8]]:
    """Layers of the torch network as the populations that lowering cut them into."""
    parts = lowered.real_network.populations
    found = {name: array for name, array in spikes.items() if name not in parts}
    for name, array in spikes.items():
        found.update({part: array[:, :, neurons] for part, neurons in parts.get(name, {}).items()})
    return found


_EVERYTHING = Record(spikes=True, final=True, states=True)


def _aligned(name: str, lowered: Lowered, inputs: Mapping[str, Int64], result: RunResult) -> Run:
    """A run of integers, each layer moved back by its latency and each state to units of the graph."""
    steps = next(iter(inputs.values())).shape[1]
    latency, shift = lowered.real_network.latencies, lowered.program.target.activation_shift
    scales = {layer.name: np.array(layer.scale) / (1 << shift) for layer in lowered.program.layers}

    def moved(arrays: Mapping[str, NDArray[Number]]) -> dict[str, NDArray[Number]]:
        """The time steps that answer the input, without the network's latency."""
        return {n: a[:, latency[n] : latency[n] + steps] for n, a in arrays.items()}

    def real(arrays: Mapping[str, Int64] | None) -> dict[str, Float64] | None:
        """Convert integer states to the units of the NIR graph."""
        return None if arrays is None else {n: a * scales[n] for n, a in moved(arrays).items()}

    return Run(
        name=name, spikes=moved(result.layer_spikes or {}), u=real(result.states_u), v=real(result.states_v),
        result=result,
    )  # fmt: skip
