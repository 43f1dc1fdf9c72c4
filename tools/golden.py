"""Golden files: integers that Lava computed, stored so that every backend can be compared with them without Lava.

    lava-0.10.0/
      single_rules.json + .npz         every hand-made case that Lava runs: spikes, u and v after every step
      networks/NAME/program/           random networks of several layers, as Programs
      networks/NAME/recorded.json + .npz   their input, all spikes, the last u and v, the readout

Every `.json` states its producer and versions. None of the numbers is computed by neuroprivacy. The files are not
shipped: other people's backends are compared with the reference, by `neuroprivacy.testing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.storage import read_arrays, read_json, write_arrays, write_json
from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import Program, load_program, save_program
from neuroprivacy.runtime.backend import Record, RunResult
from neuroprivacy.runtime.compare import first_difference
from neuroprivacy.testing.case import Case
from neuroprivacy.testing.conformance import case_inputs
from neuroprivacy.testing.hand_made import hand_made_cases
from neuroprivacy.testing.random_programs import random_case

VERSION = "lava-0.10.0"
#: (seed, target) of the golden networks; chosen: all of several layers, all lively.
NETWORKS = (
    (1003, "loihi2"), (1007, "loihi2"), (1007, "loihi2-soft"), (1010, "loihi2-soft"),
    (1017, "loihi2"), (1018, "loihi2-soft"), (1022, "loihi2"), (1023, "loihi2-soft"),
)  # fmt: skip
STEPS = 32
EVERYTHING = Record(spikes=True, final=True, states=True)
_STATES = (("spikes", "layer_spikes"), ("u", "states_u"), ("v", "states_v"))
_LAST = (("spikes", "layer_spikes"), ("final_u", "final_u"), ("final_v", "final_v"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenRun:
    """One recorded run.

    Attributes:
        name: of the case or network.
        program: what ran.
        inputs: port name -> int64 (samples, steps, size).
        recorded: "quantity.layer" -> int64: spikes, u, v after every step, final_u, final_v; and "readout".
        versions: of what made it.
    """

    name: str
    program: Program
    inputs: dict[str, Int64]
    recorded: dict[str, Int64]
    versions: Mapping[str, str]


def golden_cases() -> tuple[Case, ...]:
    """The hand-made cases that Lava can run."""
    return tuple(case for case in hand_made_cases() if case.program.target.name.startswith("loihi"))


def recorded_states(result: RunResult) -> dict[str, Int64]:
    """Spikes, u and v of every layer after every step."""
    return _by_quantity(result, _STATES)


def recorded_ends(result: RunResult) -> dict[str, Int64]:
    """Spikes of every layer and step, u and v after the last one, and the readout."""
    return {**_by_quantity(result, _LAST), "readout": result.readout}


def _by_quantity(result: RunResult, quantities: tuple[tuple[str, str], ...]) -> dict[str, Int64]:
    return {
        f"{quantity}.{layer}": np.asarray(array, np.int64)
        for quantity, attribute in quantities
        for layer, array in (getattr(result, attribute) or {}).items()
    }


def differences(run: GoldenRun, result: RunResult) -> tuple[str, ...]:
    """Where a result leaves a golden run; empty if it equals it in every integer."""
    got = {**recorded_states(result), **recorded_ends(result)}
    found = []
    for key, expected in run.recorded.items():
        quantity, _, layer = key.partition(".")
        if key not in got:
            found.append(f"{layer}: {quantity} was not recorded")
            continue
        difference = first_difference(quantity, layer or quantity, expected, got[key])
        if difference is not None:
            found.append(str(difference))
    return tuple(found)


def write_single_rules(folder: Path, results: Mapping[str, RunResult]) -> None:
    """Write `single_rules`: case name -> its result, all of one producer."""
    kept = {name: recorded_states(result) for name, result in results.items()}
    index = [
        {"case": name, "quantity": key, "shape": list(array.shape)}
        for name, arrays in kept.items()
        for key, array in arrays.items()
    ]
    flat = np.concatenate([array.reshape(-1) for arrays in kept.values() for array in arrays.values()])
    write_arrays(folder / "single_rules.npz", {"values": flat.astype(np.int32)})
    first = next(iter(results.values()))
    write_json(
        folder / "single_rules.json",
        {"producer": first.backend, "versions": dict(first.versions), "index": index},
    )


def read_single_rules(folder: Path) -> tuple[GoldenRun, ...]:
    """The recorded cases, in the order of the kit.

    Raises:
        BadFile: the files are damaged, or do not hold exactly the cases that there are now.
    """
    path = folder / "single_rules.json"
    described = read_json(path)
    values = read_arrays(folder / "single_rules.npz").get("values", np.zeros(0, np.int32)).astype(np.int64)
    recorded: dict[str, dict[str, Int64]] = {}
    position = 0
    try:
        for entry in described["index"]:
            size = int(np.prod(entry["shape"]))
            array = values[position : position + size].reshape(entry["shape"])
            recorded.setdefault(entry["case"], {})[entry["quantity"]] = array
            position += size
        versions = dict(described["versions"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(path, f"is not a golden file ({type(error).__name__}: {error})") from error
    cases = {case.name: case for case in golden_cases()}
    if position != values.size or cases.keys() != recorded.keys():
        changed = ", ".join(sorted(cases.keys() ^ recorded.keys())) or "its numbers"
        raise BadFile(path, f"is not of these cases ({changed})", hint="python -m tools.regenerate")
    return tuple(
        GoldenRun(
            name=name,
            program=case.program,
            inputs=case_inputs(case),
            recorded=recorded[name],
            versions=versions,
        )
        for name, case in cases.items()
    )


def golden_networks() -> Iterator[tuple[str, Program, dict[str, Int64]]]:
    """The networks to record: name, Program, input. For the recorder alone; readers read what was saved."""
    for seed, target in NETWORKS:
        drawn = random_case(seed, target=target, steps=STEPS, max_neurons=24)
        yield f"{target}-{seed}", drawn.program, drawn.spikes


def write_network(folder: Path, name: str, program: Program, inputs: Mapping[str, Int64], result: RunResult) -> None:
    """Write one network with its input and what was recorded."""
    target = folder / "networks" / name
    save_program(program, target / "program")
    recorded = recorded_ends(result)
    arrays = {f"input.{port}": array for port, array in inputs.items()} | recorded
    write_arrays(target / "recorded.npz", {key: _narrow(array) for key, array in arrays.items()})
    write_json(
        target / "recorded.json",
        {
            "producer": result.backend,
            "versions": dict(result.versions),
            "content_hash": program.content_hash,
            "recorded": sorted(recorded),
        },
    )


def _narrow(array: Int64) -> NDArray[Any]:
    small = array.size and int(array.min()) >= 0 and int(array.max()) < 256
    return array.astype(np.uint8 if small else np.int32)


def read_networks(folder: Path) -> tuple[GoldenRun, ...]:
    """The recorded networks, by name.

    Raises:
        BadFile: there is none, or one is damaged or not of its Program.
    """
    paths = sorted((folder / "networks").glob("*/recorded.json"))
    if not paths:
        raise BadFile(folder, "holds no golden networks", hint="python -m tools.regenerate")
    return tuple(_read_network(path.parent) for path in paths)


def _read_network(folder: Path) -> GoldenRun:
    path = folder / "recorded.json"
    described = read_json(path)
    program = load_program(folder / "program")
    arrays = {key: array.astype(np.int64) for key, array in read_arrays(folder / "recorded.npz").items()}
    if described.get("content_hash") != program.content_hash:
        raise BadFile(path, "was recorded with another Program")
    inputs = {port.name: arrays.pop(f"input.{port.name}") for port in program.inputs if f"input.{port.name}" in arrays}
    if sorted(arrays) != described.get("recorded") or len(inputs) != len(program.inputs):
        raise BadFile(path, "lacks arrays")
    return GoldenRun(
        name=folder.name,
        program=program,
        inputs=inputs,
        recorded=arrays,
        versions=described.get("versions", {}),
    )


def read_golden(folder: Path) -> tuple[GoldenRun, ...]:
    """Everything that was recorded: cases, then networks."""
    return (*read_single_rules(folder), *read_networks(folder))
