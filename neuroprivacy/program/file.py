"""Programs on disk: `program.json` and `arrays.npz` in a folder, with format version and content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile, NeuroPrivacyError
from neuroprivacy.core.storage import file_digest, read_arrays, read_json, write_arrays, write_json
from neuroprivacy.program.maps import ConvMap, DenseMap, LinearMap
from neuroprivacy.program.network import Edge, Layer, Port, Program
from neuroprivacy.targets.spec import target_from_dict

FORMAT = 1
_CHANGED = "the files were changed or mixed up; export again"
_LAYER_ARRAYS = ("threshold", "du", "dv", "bias_mantissa", "v_init")
#: Written only where it is not all zero, so that a file without it means zero.
_OPTIONAL_ARRAY = "u_init"
_CONV_OPTIONS = ("in_shape", "stride", "padding", "dilation", "pool", "pool_stride")


def save_program(program: Program, folder: Path) -> Path:
    """Write `program.json` and `arrays.npz` into `folder`; equal Programs give equal bytes.

    The arrays are written first: a folder with a `program.json` is complete.
    """
    arrays = {name: _narrow(array) for name, array in _arrays(program).items()}
    write_arrays(folder / "arrays.npz", arrays)
    write_json(
        folder / "program.json",
        {
            **_description(program),
            "format": FORMAT,
            "content_hash": program.content_hash,
            "arrays_sha256": file_digest(folder / "arrays.npz"),
        },
    )
    return folder


def load_program(folder: Path) -> Program:
    """Read a Program and check its hash.

    Raises:
        BadFile: files are missing or damaged, the format is newer, the hash differs, or the content is not legal.
    """
    path = Path(folder) / "program.json"
    described = read_json(path)
    if described.get("format") != FORMAT:
        raise BadFile(path, f"has format {described.get('format')!r}, this version reads {FORMAT}")
    arrays = _read_unchanged(Path(folder) / "arrays.npz", described.get("arrays_sha256"))
    try:
        program = _rebuild(described, arrays)
    except BadFile:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(path, f"is not a program ({type(error).__name__}: {error})") from error
    except NeuroPrivacyError as error:
        raise BadFile(path, f"is not a legal program ({error})") from error
    if program.content_hash != described.get("content_hash"):
        raise BadFile(path, "does not match its content hash", hint=_CHANGED)
    return program


def _read_unchanged(path: Path, expected: object) -> dict[str, NDArray[Any]]:
    """The arrays of a file that has the saved hash."""
    try:
        found = file_digest(path)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from error
    if found != expected:
        raise BadFile(path, "is not the file that program.json was saved with", hint=_CHANGED)
    return read_arrays(path)


def content_hash(program: Program) -> str:
    """SHA-256 over the description and all arrays."""
    state = hashlib.sha256(json.dumps(_description(program), sort_keys=True).encode())
    for name, array in sorted(_arrays(program).items()):
        state.update(f"{name}{array.shape}".encode())
        state.update(np.ascontiguousarray(array, np.int64).astype("<i8").tobytes())
    return state.hexdigest()


def _narrow(array: NDArray[np.int64]) -> NDArray[Any]:
    """The same integers in the smallest signed type that holds them."""
    for kind in (np.int8, np.int16, np.int32):
        info = np.iinfo(kind)
        if array.size == 0 or (array.min() >= info.min and array.max() <= info.max):
            return array.astype(kind)
    return array


def _arrays(program: Program) -> dict[str, NDArray[np.int64]]:
    """All arrays by position; names from the user are no file names."""
    found: dict[str, NDArray[np.int64]] = {}
    for i, layer in enumerate(program.layers):
        found.update({f"layer{i}.{name}": getattr(layer, name) for name in _LAYER_ARRAYS})
        if layer.u_init.any():
            found[f"layer{i}.{_OPTIONAL_ARRAY}"] = layer.u_init
        found.update({f"layer{i}.edge{j}.weight": edge.map.weight for j, edge in enumerate(layer.edges)})
    return found


def _description(program: Program) -> dict[str, Any]:
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
    options = {name: list(getattr(linear, name)) for name in _CONV_OPTIONS}
    return {"kind": "conv", "groups": linear.groups, **options}


def _rebuild(described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Program:
    """The inverse of `_description` and `_arrays`."""
    return Program(
        target=target_from_dict(described["target"], where="program.json: target"),
        inputs=tuple(Port(**{**port, "shape": tuple(port["shape"])}) for port in described["inputs"]),
        layers=tuple(_rebuild_layer(i, layer, arrays) for i, layer in enumerate(described["layers"])),
        outputs=tuple(described["outputs"]),
        readout=described["readout"],
        latency=described["latency"],
        latencies=tuple(described.get("latencies", ())),
        max_steps=described["max_steps"],
        encoder=described["encoder"],
        provenance=described["provenance"],
    )


def _rebuild_layer(i: int, described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Layer:
    edges = []
    for j, edge in enumerate(described["edges"]):
        weight = arrays[f"layer{i}.edge{j}.weight"]
        kind = edge["map"]["kind"]
        if kind == "dense":
            linear: LinearMap = DenseMap(weight=weight)
        elif kind == "conv":
            options = {name: tuple(edge["map"][name]) for name in _CONV_OPTIONS}
            linear = ConvMap(weight=weight, groups=edge["map"]["groups"], **options)
        else:
            raise ValueError(f"map kind {kind!r} is unknown")
        edges.append(Edge(source=edge["source"], map=linear, delay=edge["delay"]))
    return Layer(
        name=described["name"],
        shape=tuple(described["shape"]),
        edges=tuple(edges),
        bias_exponent=described["bias_exponent"],
        reset=described["reset"],
        fires=described["fires"],
        scale=tuple(described["scale"]),
        **{name: arrays[f"layer{i}.{name}"] for name in _LAYER_ARRAYS},
        **({_OPTIONAL_ARRAY: arrays[optional]} if (optional := f"layer{i}.{_OPTIONAL_ARRAY}") in arrays else {}),
    )
