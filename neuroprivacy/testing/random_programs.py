"""Random Programs that really fire: silent networks prove nothing.

Structure, weights, decays, biases and delays come from one seed. Each layer's threshold is then set, layer by layer, so
that its firing rate on the case's own input lands near a drawn target rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, LinearMap, Port, Program
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import TargetSpec, load_target

#: A layer "really fires" when its rate lies in this range (spikes per neuron and step).
RATE_RANGE = (0.01, 0.60)
_SEARCH_ROUNDS = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomCase:
    """A random Program with its input.

    Attributes:
        seed: what made it.
        program: the network.
        spikes: port name -> int64 (samples, steps, size).
        rates: layer name -> spikes per neuron and step.
    """

    seed: int
    program: Program
    spikes: dict[str, Int64]
    rates: dict[str, float]

    @property
    def lively(self) -> bool:
        """Whether every layer's firing rate is within RATE_RANGE."""
        return all(RATE_RANGE[0] <= rate <= RATE_RANGE[1] for rate in self.rates.values())


def random_case(
    seed: int,
    *,
    target: str | TargetSpec = "loihi2",
    steps: int = 40,
    samples: int = 2,
    max_layers: int = 4,
    max_neurons: int = 48,
) -> RandomCase:
    """A random network: dense and convolutional layers, joins, delays, recurrence, all neuron constants.

    Args:
        seed: everything follows from it.
        target: whose rules and widths it uses.
        steps: input steps.
        samples: input samples, all different.
        max_layers: at most so many layers.
        max_neurons: roughly the largest layer.
    """
    rng = np.random.default_rng(seed)
    spec = load_target(target) if isinstance(target, str) else target
    port = _random_port(rng, max_neurons)
    shape = (samples, steps, *port.shape)
    spikes = (rng.random(shape) < rng.uniform(0.05, 0.5)) * rng.integers(1, port.high + 1, shape)
    inputs = {port.name: spikes.reshape(samples, steps, -1).astype(np.int64)}
    layers: tuple[Layer, ...] = ()
    for i in range(int(rng.integers(1, max_layers + 1))):
        drawn = _random_layer(rng, spec, port, layers, f"layer{i}", max_neurons)
        layers = (*layers, _tune(rng, spec, port, layers, drawn, inputs))
    program = _program(spec, port, layers)
    result = run_reference(program, inputs, record=Record(spikes=True))
    rates = {name: float(fired.mean()) for name, fired in (result.layer_spikes or {}).items()}
    return RandomCase(seed=seed, program=program, spikes=inputs, rates=rates)


def _random_port(rng: np.random.Generator, max_neurons: int) -> Port:
    high = int(rng.choice([1, 1, 1, 15]))
    if rng.random() < 0.5:
        return Port(name="input", shape=(int(rng.integers(2, max_neurons + 1)),), high=high)
    return Port(
        name="input",
        shape=(int(rng.integers(1, 3)), int(rng.integers(3, 7)), int(rng.integers(3, 7))),
        high=high,
    )


def _random_layer(
    rng: np.random.Generator,
    spec: TargetSpec,
    port: Port,
    before: tuple[Layer, ...],
    name: str,
    max_neurons: int,
) -> Layer:
    """A layer with drawn edges and constants; its threshold is still to be tuned."""
    nodes: tuple[Port | Layer, ...] = (port, *before)
    newest = nodes[-1]
    linear: LinearMap
    if len(newest.shape) == 3 and rng.random() < 0.7:
        linear = _random_conv(rng, spec, (newest.shape[0], newest.shape[1], newest.shape[2]))
    else:
        linear = DenseMap(weight=_random_weights(rng, spec, (int(rng.integers(2, max_neurons + 1)), newest.size)))
    size = int(np.prod(linear.out_shape))
    edges = [Edge(source=newest.name, map=linear, delay=_random_delay(rng, spec))]
    for other in nodes[:-1]:
        if rng.random() < 0.3:
            weight = _random_weights(rng, spec, (size, other.size))
            edges.append(Edge(source=other.name, map=DenseMap(weight=weight), delay=_random_delay(rng, spec)))
    if rng.random() < 0.25:
        weight = _random_weights(rng, spec, (size, size)) // 2
        edges.append(Edge(source=name, map=DenseMap(weight=weight), delay=int(rng.integers(1, 4))))
    by_neuron = spec.threshold_per == "neuron" and rng.random() < 0.5
    count = size if by_neuron else 1
    biased = rng.random() < 0.5
    exponent = int(rng.integers(0, spec.bias_exponent_max + 1)) if biased else 0
    largest = 200 if spec.activation_shift == 0 else (2 ** (12 - exponent))
    return Layer(
        name=name,
        shape=linear.out_shape,
        edges=tuple(edges),
        threshold=np.full(count, 1),
        du=rng.choice([4095, 4095, int(rng.integers(0, 4096))]) * np.ones(count, np.int64),
        dv=rng.choice([0, int(rng.integers(0, 500)), int(rng.integers(0, 4096))]) * np.ones(count, np.int64),
        bias_mantissa=rng.integers(-largest, largest, size) if biased else np.zeros(size, np.int64),
        bias_exponent=exponent,
        v_init=rng.integers(-5000, 5000, size) if rng.random() < 0.3 else np.zeros(size, np.int64),
        u_init=_random_current(rng.spawn(1)[0], spec, size),
        reset=spec.resets[int(rng.integers(len(spec.resets)))],
    )


def _random_current(rng: np.random.Generator, spec: TargetSpec, size: int) -> Int64:
    """A current before step 1, for one layer in five of a target that keeps one."""
    if not spec.current_bits or rng.random() < 0.8:
        return np.zeros(size, np.int64)
    return rng.integers(-9000, 9000, size)


def _random_conv(rng: np.random.Generator, spec: TargetSpec, shape: tuple[int, int, int]) -> ConvMap:
    """A convolution whose output has at least one neuron."""
    while True:
        pool = (2, 2) if min(shape[1:]) >= 4 and rng.random() < 0.3 else (1, 1)
        groups = int(rng.choice([1, shape[0]]))
        kernel = rng.integers(1, 4, 2)
        stride, padding, dilation = _pair(rng, 1, 3), _pair(rng, 0, 2), _pair(rng, 1, 3)
        weight = _random_weights(rng, spec, (groups * int(rng.integers(1, 4)), shape[0] // groups, *kernel))
        height, width = (shape[i] // pool[0] for i in (1, 2))
        room = (
            height + 2 * padding[0] - dilation[0] * (kernel[0] - 1),
            width + 2 * padding[1] - dilation[1] * (kernel[1] - 1),
        )
        if min(room) >= 1:
            return ConvMap(
                weight=weight, in_shape=shape, groups=groups, pool=pool, pool_stride=pool,
                stride=stride, padding=padding, dilation=dilation,
            )  # fmt: skip


def _pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    """Two numbers of low ... high - 1, for rows and columns."""
    rows, columns = rng.integers(low, high, 2)
    return int(rows), int(columns)


def _random_weights(rng: np.random.Generator, spec: TargetSpec, shape: tuple[int, ...]) -> Int64:
    """Weights of mixed signs with a tail to both ends; sometimes of one sign only."""
    low, high = spec.weight_range
    drawn = np.clip(np.rint(rng.normal(rng.uniform(-5, 20), 40, shape)), low, high).astype(np.int64)
    kind = rng.random()
    return np.abs(drawn).clip(0, high) if kind < 0.1 else drawn


def _random_delay(rng: np.random.Generator, spec: TargetSpec) -> int:
    return spec.edge_delay_min + int(rng.choice([0, 0, 0, 1, 3]))


def _program(spec: TargetSpec, port: Port, layers: tuple[Layer, ...]) -> Program:
    """A Program of these layers; its latency is the longest path."""
    depth = {port.name: 0}
    for layer in layers:
        depth[layer.name] = max(depth[e.source] + e.delay for e in layer.edges if e.source != layer.name)
    return Program(
        target=spec,
        inputs=(port,),
        layers=layers,
        outputs=(layers[-1].name,),
        readout="spike_count",
        latency=depth[layers[-1].name],
    )


def _tune(
    rng: np.random.Generator,
    spec: TargetSpec,
    port: Port,
    before: tuple[Layer, ...],
    layer: Layer,
    inputs: dict[str, Int64],
) -> Layer:
    """The layer with a threshold that brings its rate near a drawn one (bisection in the exponent)."""
    wanted = float(np.exp(rng.uniform(np.log(0.03), np.log(0.4))))
    low, high = 0.0, float(np.log2(spec.threshold_max if spec.threshold_shift else 2**20))
    spread = rng.integers(0, 3, layer.threshold.size)
    best, best_error = layer, np.inf
    for _ in range(_SEARCH_ROUNDS):
        middle = (low + high) / 2
        candidate = replace(layer, threshold=np.full(layer.threshold.size, round(2**middle)) + spread)
        result = run_reference(_program(spec, port, (*before, candidate)), inputs, record=Record(spikes=True))
        rate = float((result.layer_spikes or {})[layer.name].mean())
        error = abs(np.log((rate + 1e-4) / wanted))
        if error < best_error:
            best, best_error = candidate, error
        low, high = (middle, high) if rate > wanted else (low, middle)
    return best
