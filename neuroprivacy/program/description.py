"""A Program as JSON values and arrays, and the hash over both: what a file holds and what equal Programs share."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.program.maps import DenseMap, LinearMap

if TYPE_CHECKING:
    from neuroprivacy.program.network import Program

LAYER_ARRAYS = ("threshold", "du", "dv", "bias_mantissa", "v_init")
#: Written only where it is not all zero, so that a file without it means zero.
OPTIONAL_ARRAY = "u_init"
CONV_OPTIONS = ("in_shape", "stride", "padding", "dilation", "pool", "pool_stride")


def content_hash(program: Program) -> str:
    """SHA-256 over the description and all arrays."""
    state = hashlib.sha256(json.dumps(describe_program(program), sort_keys=True).encode())
    for name, array in sorted(program_arrays(program).items()):
        state.update(f"{name}{array.shape}".encode())
        state.update(np.ascontiguousarray(array, np.int64).astype("<i8").tobytes())
    return state.hexdigest()


def program_arrays(program: Program) -> dict[str, NDArray[np.int64]]:
    """All arrays by position; names from the user are no file names."""
    found: dict[str, NDArray[np.int64]] = {}
    for i, layer in enumerate(program.layers):
        found.update({f"layer{i}.{name}": getattr(layer, name) for name in LAYER_ARRAYS})
        if layer.u_init.any():
            found[f"layer{i}.{OPTIONAL_ARRAY}"] = layer.u_init
        found.update({f"layer{i}.edge{j}.weight": edge.map.weight for j, edge in enumerate(layer.edges)})
    return found


def describe_program(program: Program) -> dict[str, Any]:
    """Everything but the arrays, as JSON values."""
    return {
        "target": program.target.to_dict(),
        "inputs": [
            {"name": p.name, "shape": list(p.shape), "low": p.low, "high": p.high, "scale": p.scale}
            for p in program.inputs
        ],
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.shape),
                "bias_exponent": layer.bias_exponent,
                "reset": layer.reset,
                "fires": layer.fires,
                "scale": list(layer.scale),
                "edges": [
                    {"source": edge.source, "delay": edge.delay, "map": _describe_map(edge.map)} for edge in layer.edges
                ],
            }
            for layer in program.layers
        ],
        "outputs": list(program.outputs),
        "readout": program.readout,
        "latency": program.latency,
        **({"latencies": list(program.latencies)} if program.latencies else {}),
        "max_steps": program.max_steps,
        "encoder": dict(program.encoder),
        "provenance": dict(program.provenance),
    }


def _describe_map(linear: LinearMap) -> dict[str, Any]:
    if isinstance(linear, DenseMap):
        return {"kind": "dense"}
    options = {name: list(getattr(linear, name)) for name in CONV_OPTIONS}
    return {"kind": "conv", "groups": linear.groups, **options}
