"""Good graphs: small, and every node of NIR 1.0.8 is in one of them."""

from __future__ import annotations

import io
import itertools
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def graphs() -> dict[str, nir.NIRGraph]:
    """Good graphs by name; the same ones every time."""
    rng = np.random.default_rng(20240601)
    return {
        "dense": _dense(rng), "image": _image(rng), "signal": _signal(rng), "recurrent": _recurrent(rng),
        "nested": _nested(rng), "pooled": _pooled(rng),
    }  # fmt: skip


def good_files() -> dict[str, bytes]:
    """The same graphs as files, as `nir.write` writes them."""
    return {name: as_nir_writes(graph) for name, graph in graphs().items()}


def as_nir_writes(graph: nir.NIRGraph) -> bytes:
    """The bytes that `nir.write` makes of a graph."""
    stream = io.BytesIO()
    nir.write(stream, graph)
    return stream.getvalue()


def chain(shape: Any, nodes: dict[str, Any], out: Any, metadata: dict[str, Any] | None = None) -> nir.NIRGraph:
    """input → nodes in order → output."""
    every = {
        "input": nir.Input({"input": np.array(shape)}), **nodes, "output": nir.Output({"output": np.array(out)}),
    }  # fmt: skip
    return nir.NIRGraph(nodes=every, edges=list(itertools.pairwise(every)), metadata=metadata or {}, type_check=False)


def neuron(kind: str, rng: np.random.Generator, *shape: int, dtype: Any = np.float64) -> Any:
    """A neuron node of any type, with every parameter drawn."""

    def drawn(low: float, high: float) -> Floats:
        return rng.uniform(low, high, shape).astype(dtype)

    given = {
        "tau": drawn(1e-3, 1e-1), "tau_mem": drawn(1e-3, 1e-1), "tau_syn": drawn(1e-3, 1e-1), "r": drawn(0.5, 2),
        "v_leak": drawn(-1, 1), "v_threshold": drawn(1, 2), "v_reset": drawn(-1, 0), "w_in": drawn(0.5, 2),
    }  # fmt: skip
    fields = {
        "I": ("r",), "IF": ("r", "v_threshold", "v_reset"), "LI": ("tau", "r", "v_leak"),
        "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
        "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
        "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    }  # fmt: skip
    return getattr(nir, kind)(**{name: given[name] for name in fields[kind]})


def _dense(rng: np.random.Generator) -> nir.NIRGraph:
    nodes = {
        "affine": nir.Affine(weight=rng.normal(size=(5, 4)).astype(np.float32), bias=rng.normal(size=5)),
        "lif": neuron("LIF", rng, 5, dtype=np.float32),
        "linear": nir.Linear(weight=rng.integers(-100, 100, (3, 5)).astype(np.int8)),
        "scale": nir.Scale(scale=rng.normal(size=3)),
        "delay": nir.Delay(delay=rng.uniform(0, 1, 3)),
        "readout": neuron("LI", rng, 3),
    }
    described = {"made_by": "corpus", "dt": 1e-4, "steps": 12, "deep": {"scale": np.arange(3.0), "names": ["a", "b"]}}
    return chain([4], nodes, [3], described)


def _image(rng: np.random.Generator) -> nir.NIRGraph:
    nodes = {
        "conv1": nir.Conv2d(
            input_shape=(6, 8), weight=rng.normal(size=(4, 2, 3, 2)).astype(np.float32), stride=(1, 2),
            padding=(1, 0), dilation=(1, 1), groups=1, bias=np.zeros(4, np.float32),
        ),
        "if1": neuron("IF", rng, 4, 6, 4, dtype=np.float32),
        "conv2": nir.Conv2d(
            input_shape=(6, 4), weight=rng.normal(size=(4, 2, 3, 3)), stride=1, padding="same", dilation=1, groups=2,
            bias=rng.normal(size=4),
        ),
        "threshold": nir.Threshold(threshold=np.ones((4, 6, 4))),
        "flatten": nir.Flatten(input_type={"input": np.array([4, 6, 4])}, start_dim=0, end_dim=-1),
        "linear": nir.Linear(weight=rng.normal(size=(2, 96)).astype(np.float16)),
    }  # fmt: skip
    return chain([2, 6, 8], nodes, [2])


def _signal(rng: np.random.Generator) -> nir.NIRGraph:
    nodes = {
        "conv": nir.Conv1d(
            input_shape=20, weight=rng.normal(size=(3, 1, 4)), stride=2, padding=1, dilation=2, groups=1,
            bias=np.zeros(3),
        ),
        "neurons": neuron("CubaLIF", rng, 3, 8),
        "padded": nir.Conv1d(
            input_shape=8, weight=rng.normal(size=(3, 1, 3)), stride=1, padding="valid", dilation=1, groups=3,
            bias=np.zeros(3),
        ),
        "integrate": neuron("I", rng, 3, 6),
    }  # fmt: skip
    return chain([1, 20], nodes, [3, 6])


def _recurrent(rng: np.random.Generator) -> nir.NIRGraph:
    nodes = {
        "in a": nir.Input({"input": np.array([3])}), "in b": nir.Input({"input": np.array([2])}),
        "up": nir.Linear(weight=rng.normal(size=(4, 3))), "side": nir.Linear(weight=rng.normal(size=(4, 2))),
        "cells": neuron("CubaLI", rng, 4), "back": nir.Linear(weight=rng.normal(size=(4, 4))),
        "out": nir.Output({"output": np.array([4])}),
    }  # fmt: skip
    edges = [
        ("in a", "up"), ("in b", "side"), ("up", "cells"), ("side", "cells"), ("cells", "back"), ("back", "cells"),
        ("cells", "out"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes=nodes, edges=edges, type_check=False)


def _nested(rng: np.random.Generator) -> nir.NIRGraph:
    innermost = chain([3], {"lif": neuron("LIF", rng, 3)}, [3], {"depth": 2})
    inner = chain([3], {"cell": innermost, "w": nir.Linear(weight=rng.normal(size=(3, 3)))}, [3])
    return chain([2], {"fc": nir.Affine(weight=rng.normal(size=(3, 2)), bias=np.ones(3)), "block": inner}, [3])


def _pooled(rng: np.random.Generator) -> nir.NIRGraph:
    nodes = {
        "sum": nir.SumPool2d(kernel_size=np.array([2, 3]), stride=np.array([2, 3]), padding=np.array([0, 0])),
        "conv": nir.Conv2d(
            input_shape=(4, 3), weight=rng.normal(size=(2, 1, 1, 2)), stride=(1, 1), padding=(0, 0), dilation=(1, 2),
            groups=2, bias=np.zeros(2),
        ),
        "if": neuron("IF", rng, 2, 4, 1),
        "average": nir.AvgPool2d(kernel_size=np.array([2, 1]), stride=np.array([1, 1]), padding=np.array([1, 0])),
    }  # fmt: skip
    return chain([2, 8, 9], nodes, [2, 5, 1])
