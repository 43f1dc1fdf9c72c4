"""The backend protocol and its registry: a backend runs Programs.

A backend is a class found through the entry-point group `neuroprivacy.backends`, ours like a third party's. It may
refuse a Program, with reasons; it never changes one. It equals `neuroprivacy.runtime.reference` in every integer.

Contract for `run`, whatever the backend:
    input   integers, (samples, T, *port shape), one array per input port;
    steps   T + latency time steps are computed, with silent input after T; samples do not interact;
    window  `spikes` are those of time steps latency+1 ... latency+T of each output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BackendNotFound, ConfigurationError, DoesNotFit, Issue, raise_fatal
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Port, Program
from neuroprivacy.runtime.results import ReadoutResult

GROUP = "neuroprivacy.backends"
Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The recordings of a run besides its results.

    Attributes:
        spikes: the spikes of every layer in every time step.
        final: u and v of every layer after the last time step.
        states: u and v of every layer after every time step.
    """

    spikes: bool = False
    final: bool = False
    states: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunResult(ReadoutResult):
    """The results of a run, beside those of `ReadoutResult`: S samples, T input time steps, L the Program's latency.

    Attributes:
        backend: name of the backend.
        spikes: output name -> uint8 (S, T, neurons).
        layer_spikes: layer name -> uint8 (S, T + L, neurons), if recorded.
        final_u: layer name -> int64 (S, neurons), if recorded; likewise `final_v`.
        states_u: layer name -> int64 (S, T + L, neurons), if recorded; likewise `states_v`.
    """

    backend: str
    spikes: dict[str, NDArray[np.uint8]]
    layer_spikes: dict[str, NDArray[np.uint8]] | None = None
    final_u: dict[str, Int64] | None = None
    final_v: dict[str, Int64] | None = None
    states_u: dict[str, Int64] | None = None
    states_v: dict[str, Int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A Program built for a backend: the folder holds everything that the backend needs to run it."""

    backend: str
    folder: Path
    program: Program


@runtime_checkable
class Backend(Protocol):
    """What every backend implements."""

    def check(self, program: Program) -> tuple[Issue, ...]:
        """The reasons why this backend cannot run `program`; empty if it can."""

    def build(self, program: Program, folder: Path) -> Artifact:
        """Write everything that is needed to run `program` into `folder`."""

    def run(self, artifact: Artifact, spikes: Inputs, record: Record) -> RunResult:
        """Run all samples of `spikes`: port name -> integers of any type, (samples, T, values of the port).

        `inputs_as_given` has checked them, as `run` does: a backend need not check the ranges of the ports.
        """


def read_out(program: Program, window: NDArray[np.uint8], final_v: Mapping[str, Int64]) -> Int64:
    """The readout of the first output, (samples, neurons): its membrane after the last time step, or its spike count.

    Args:
        program: the Program of the run.
        window: spikes of its first output.
        final_v: layer name -> membranes after the last time step; read for a membrane readout.
    """
    if program.readout == "membrane":
        return final_v[program.outputs[0]]
    return np.asarray(np.add.reduce(window, axis=1, dtype=np.int64))


def backend_names() -> tuple[str, ...]:
    """Names of the installed backends, sorted. None of them is imported."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load_backend(name: str) -> Backend:
    """Load a backend by its name.

    Raises:
        BackendNotFound: none, or more than one, is installed under that name, or it fails to import.
    """
    points = entry_points(group=GROUP, name=name)
    found = {(point.value, point.dist.name if point.dist else "?"): point for point in points}
    if not found:
        raise BackendNotFound(f"backend: none is called {name!r}; installed are {', '.join(backend_names()) or 'none'}")
    if len(found) > 1:
        raise BackendNotFound(
            f"backend: {name!r} is offered by {', '.join(sorted(dist for _, dist in found))}; uninstall all but one"
        )
    point = next(iter(found.values()))
    try:
        backend = point.load()()
    except ImportError as error:
        raise BackendNotFound(f"backend: {name!r} ({point.value}) cannot be imported: {error}") from error
    if not isinstance(backend, Backend):
        raise BackendNotFound(f"backend: {name!r} ({point.value}) lacks check, build or run")
    return backend


def build(program: Program, *, backend: str, folder: Path) -> Artifact:
    """Check `program` against a backend and build it into `folder`.

    Raises:
        BackendNotFound: no such backend.
        ConfigurationError: the program's target is check-only: no backend computes it.
        DoesNotFit: the backend refuses the program, with all its reasons.
    """
    if program.target.check_only:
        raise ConfigurationError(
            f"target: {program.target.name} is there for target check only; its limits are known, nothing here "
            "computes what it does; lower for another target to run the network"
        )
    engine = load_backend(backend)
    raise_fatal(DoesNotFit, engine.check(program))
    return engine.build(program, folder)


def run(artifact: Artifact, *, spikes: Inputs | NDArray[Any], record: Record = Record()) -> RunResult:
    """Run an artifact; a single array is that of the only input port.

    Raises:
        ConfigurationError: ports, shapes, types or values of `spikes` do not fit the Program.
    """
    checked = inputs_as_given(artifact.program, spikes)
    return _running(artifact.backend).run(artifact, checked, record)


@cache
def _running(name: str) -> Backend:
    """The backend of a name, cached: the look-up takes longer than a small run."""
    return load_backend(name)


def check_inputs(program: Program, spikes: Inputs | NDArray[Any]) -> dict[str, Int64]:
    """The arrays of `inputs_as_given`, checked and converted to int64.

    Raises:
        ConfigurationError: with where, what, value and limit.
    """
    return {name: array.astype(np.int64) for name, array in inputs_as_given(program, spikes).items()}


def inputs_as_given(program: Program, spikes: Inputs | NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Input arrays by port, (samples, T, neurons of the port), checked against the Program; integers of any type.

    Args:
        program: the Program that reads them.
        spikes: arrays by port, or one for the only port.

    Raises:
        ConfigurationError: with where, what, value and limit.
    """
    if isinstance(spikes, np.ndarray):
        if len(program.inputs) != 1:
            raise ConfigurationError(f"input: the program has {len(program.inputs)} ports; give one array for each")
        checked = {program.inputs[0].name: _as_given(program.inputs[0], spikes)}
    elif not isinstance(spikes, Mapping):
        kind = type(spikes).__name__
        raise ConfigurationError(f"input: a {kind} was given; give an array, or one for each port by its name")
    elif set(spikes) != {port.name for port in program.inputs}:
        raise ConfigurationError(
            f"input: ports {', '.join(sorted(spikes))} were given, "
            f"the program has {', '.join(port.name for port in program.inputs)}"
        )
    else:
        checked = {port.name: _as_given(port, spikes[port.name]) for port in program.inputs}
    samples, steps = checked[program.inputs[0].name].shape[:2]
    if len(checked) > 1 and any(array.shape[:2] != (samples, steps) for array in checked.values()):
        shapes = sorted({array.shape[:2] for array in checked.values()})
        raise ConfigurationError(f"input: ports differ in samples or steps: {shapes}")
    if samples < 1 or steps < 1:
        raise ConfigurationError(f"input: {samples} samples of {steps} steps; at least one of each is needed")
    if program.max_steps is not None and steps > program.max_steps:
        raise ConfigurationError(
            f"input: {steps} steps exceed {program.max_steps}, for which this program's ranges were proved; "
            "lower it again with more steps"
        )
    return checked


def _as_given(port: Port, array: NDArray[Any]) -> NDArray[Any]:
    """An array for one port, (samples, T, neurons of the port); a masked one without its mask."""
    array = np.asarray(array)
    shape, kind = array.shape, array.dtype.kind
    if kind not in "iub":
        raise ConfigurationError(f"{port.name}: values are {array.dtype}; integers are needed, encode them first")
    if len(shape) < 3 or (shape[2:] != port.shape and shape[2:] != (port.size,)):
        raise ConfigurationError(
            f"{port.name}: shape {shape} is not (samples, steps, {', '.join(map(str, port.shape))})"
        )
    # Unsigned types hold nothing below 0: their minimum is not searched.
    if array.size and (((kind == "i" or port.low > 0) and array.min() < port.low) or array.max() > port.high):
        raise ConfigurationError(
            f"{port.name}: values {array.min()} ... {array.max()} leave {port.low} ... {port.high}"
        )
    return array if len(shape) == 3 else array.reshape(*shape[:2], port.size)
