"""Programs on disk: `program.json` and `arrays.npz` in a folder, with format version and content hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile, NeuroPrivacyError
from neuroprivacy.core.storage import file_digest, read_arrays, read_json, write_arrays, write_json
from neuroprivacy.program.description import (
    CONV_OPTIONS,
    LAYER_ARRAYS,
    OPTIONAL_ARRAY,
    describe_program,
    program_arrays,
)
from neuroprivacy.program.maps import ConvMap, DenseMap, LinearMap
from neuroprivacy.program.network import Edge, Layer, Port, Program
from neuroprivacy.targets.spec import target_from_dict

FORMAT = 1
_CHANGED = "the files were changed or mixed up; export again"


def save_program(program: Program, folder: Path) -> Path:
    """Write `program.json` and `arrays.npz` into `folder`; equal Programs give equal bytes.

    The arrays are written first: a folder with a `program.json` is complete.
    """
    arrays = {name: _narrow(array) for name, array in program_arrays(program).items()}
    write_arrays(folder / "arrays.npz", arrays)
    write_json(
        folder / "program.json",
        {
            **describe_program(program),
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


def _narrow(array: NDArray[np.int64]) -> NDArray[Any]:
    """The same integers in the smallest signed type that holds them."""
    for kind in (np.int8, np.int16, np.int32):
        info = np.iinfo(kind)
        if array.size == 0 or (array.min() >= info.min and array.max() <= info.max):
            return array.astype(kind)
    return array


def _rebuild(described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Program:
    """Build the Program from its stored description and arrays."""
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
            options = {name: tuple(edge["map"][name]) for name in CONV_OPTIONS}
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
        **{name: arrays[f"layer{i}.{name}"] for name in LAYER_ARRAYS},
        **({OPTIONAL_ARRAY: arrays[optional]} if (optional := f"layer{i}.{OPTIONAL_ARRAY}") in arrays else {}),
    )
