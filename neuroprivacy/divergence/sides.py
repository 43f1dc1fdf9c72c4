"""The two things that a trace compares, brought to one form: aligned in time, in the units of the graph.

`float` is the graph in float64 without latency; `reference` and every backend are integers, whose layer at depth d sees
input step k at step k + d; `torch` is the checkpoint that the graph was made of, if there is one (spikes only).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.lowering import Lowered
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.runtime.backend import Record, RunResult, backend_names, build, load_backend
from neuroprivacy.runtime.reference import run_reference

#: Sides that are no backends.
SIDES = ("float", "torch", "reference")
#: Runs the float torch network on the port's integers: layer name -> spikes (samples, steps, neurons).
TorchRun = Callable[[Mapping[str, Int64]], dict[str, NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One run.

    Attributes:
        name: "float", "torch", "reference" or a backend.
        spikes: layer -> uint8 (samples, steps, neurons), step k for every layer being that of input step k.
        u: likewise the current, in units of the graph; None where it is not known.
        v: the membrane after the reset.
        integers: the run behind it, if it computed integers.
    """

    name: str
    spikes: Mapping[str, NDArray[np.uint8]]
    u: Mapping[str, Float64] | None = None
    v: Mapping[str, Float64] | None = None
    integers: RunResult | None = None


def run_side(name: str, lowered: Lowered, inputs: Mapping[str, Int64], *, torch_run: TorchRun | None = None) -> Side:
    """Run one side.

    Raises:
        ConfigurationError: there is no such side, or no torch network.
    """
    if name == "float":
        done = run_float(lowered.draft, inputs)
        units = {layer.name: layer.unit for layer in lowered.draft.layers}
        return Side(
            name=name, spikes=done.spikes, u={n: a * units[n] for n, a in done.u.items()},
            v={n: a * units[n] for n, a in done.v.items()},
        )  # fmt: skip
    if name == "torch":
        if torch_run is None:
            raise ConfigurationError("trace: torch needs one of our checkpoints; a .nir file has no torch network")
        return Side(name=name, spikes=_by_population(torch_run(inputs), lowered))
    if name == "reference":
        return _aligned(name, lowered, inputs, run_reference(lowered.program, inputs, record=_EVERYTHING))
    if name not in backend_names():
        known = ", ".join(dict.fromkeys((*SIDES, *backend_names())))
        raise ConfigurationError(f"trace: {name!r} is no side; choose two of {known}")
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-trace-") as scratch:
        artifact = build(lowered.program, backend=name, folder=Path(scratch))
        return _aligned(name, lowered, inputs, load_backend(name).run(artifact, inputs, _EVERYTHING))


def _by_population(spikes: Mapping[str, NDArray[np.uint8]], lowered: Lowered) -> dict[str, NDArray[np.uint8]]:
    """Layers of the torch network as the populations that lowering cut them into."""
    parts = lowered.draft.populations
    found = {name: array for name, array in spikes.items() if name not in parts}
    for name, array in spikes.items():
        found.update({part: array[:, :, neurons] for part, neurons in parts.get(name, {}).items()})
    return found


_EVERYTHING = Record(spikes=True, final=True, states=True)


def _aligned(name: str, lowered: Lowered, inputs: Mapping[str, Int64], result: RunResult) -> Side:
    """A run of integers, each layer moved back by its depth."""
    steps = next(iter(inputs.values())).shape[1]
    depth = lowered.draft.depth or {}

    def moved(arrays: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
        """The steps that belong to the input's."""
        return {n: a[:, depth[n] : depth[n] + steps] for n, a in arrays.items()}

    def real(arrays: Mapping[str, Int64] | None) -> dict[str, Float64] | None:
        """States in units of the graph."""
        if arrays is None:
            return None
        unit = {
            layer.name: np.array(layer.scale) / (1 << lowered.program.target.activation_shift)
            for layer in lowered.program.layers
        }
        return {n: a[:, depth[n] : depth[n] + steps] * unit[n] for n, a in arrays.items()}

    return Side(
        name=name, spikes=moved(result.layer_spikes or {}), u=real(result.states_u), v=real(result.states_v),
        integers=result,
    )  # fmt: skip
