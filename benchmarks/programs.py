"""A workload in integers: the same float weights, rounded to eight bits per layer, on a target of ours.

    weight = round(127 w / max|w|)     threshold = 127 / max|w|     dv = round(0.1 * 4096) = 410

An average pool is a sum pool here, its quarter is in the threshold. `int8` has no latency and no synaptic current, as
the float network has none; on `loihi2` every layer costs one step, so that T + layers steps are computed.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.workloads import DECAY, THRESHOLD, LayerShape, Weights, Workload
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap, Port, Program
from neuroprivacy.targets.spec import TargetSpec, load_target

_LARGEST = 127


def make_program(workload: Workload, weights: Weights, *, target: str) -> Program:
    """The workload as a Program.

    Args:
        workload: what to compute.
        weights: its float weights.
        target: "int8" or "loihi2".
    """
    spec = load_target(target)
    source, layers = "input", []
    for shape in workload.layers:
        layers.append(_layer(shape, weights.arrays[shape.name], source, spec))
        source = shape.name
    return Program(
        target=spec,
        inputs=(Port(name="input", shape=workload.input_shape),),
        layers=tuple(layers),
        outputs=(source,),
        readout="spike_count",
        latency=spec.edge_delay_min * len(layers),
    )


def _layer(shape: LayerShape, weight: np.ndarray, source: str, target: TargetSpec) -> Layer:
    """One layer in integers."""
    scale = _LARGEST / float(np.abs(weight).max())
    size = math.prod(shape.out_shape)
    real = THRESHOLD * scale * (4 if shape.pool else 1)
    # v > θ in integers is v > floor(θ), or v >= floor(θ) + 1.
    threshold = math.floor(real) + (target.threshold_test == ">=")
    zeros = np.zeros(size, np.int64)
    return Layer(
        name=shape.name,
        shape=shape.out_shape,
        edges=(
            Edge(source=source, map=_map(shape, np.rint(weight * scale).astype(np.int64)), delay=target.edge_delay_min),
        ),
        threshold=np.array([threshold]),
        du=np.array([DECAY_ONE - 1 if target.current_bits else 0]),
        dv=np.array([round((1 - DECAY) * DECAY_ONE)]),
        bias_mantissa=zeros,
        bias_exponent=0,
        v_init=zeros,
        reset="hard",
        scale=(1 / scale,),
    )


def _map(shape: LayerShape, weight: np.ndarray) -> LinearMap:
    """The linear map of a layer, its pool included."""
    if shape.kind == "dense" and not shape.pool:
        return DenseMap(weight=weight)
    channels, height, width = shape.in_shape
    pool = (2, 2) if shape.pool else (1, 1)
    padding = (1, 1) if shape.kind == "conv" else (0, 0)
    kernel = weight.reshape(len(weight), *shape.pooled_shape) if shape.kind == "dense" else weight
    return ConvMap(weight=kernel, in_shape=(channels, height, width), padding=padding, pool=pool, pool_stride=pool)
