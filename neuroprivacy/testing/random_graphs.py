"""Random NIR graphs that really fire, lowered: every primitive, joins, loops, delays, nesting, several ends.

A graph grows layer by layer: paths of linear nodes from earlier nodes into new neurons, whose threshold is then set, by
the float network, so that they fire at a drawn rate. The Program is made as users make it: by `lower`. The file is long
because one generator draws every kind of node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from neuroprivacy.core.errors import DoesNotFit
from neuroprivacy.graph import GraphInfo
from neuroprivacy.kernels.formats import Float64, Int64
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.lowering import Lowered, LowerOptions, lower, real_network
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.runtime.backend import Record
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import TargetSpec, load_target
from neuroprivacy.testing.random_programs import RandomCase

DT_S = 1e-3
_SEARCH_ROUNDS = 12
_ATTEMPTS = 12
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomGraph:
    """A random NIR graph with its input.

    Attributes:
        graph: the network.
        spikes: port name -> int64 (samples, steps, size).
        options: with which it is lowered.
        lowered: the Program with its diagnostics.
    """

    graph: nir.NIRGraph
    spikes: dict[str, Int64]
    options: LowerOptions
    lowered: Lowered


def random_graph_case(
    seed: int, *, target: str | TargetSpec = "loihi2", steps: int = 50, samples: int = 2
) -> RandomCase:
    """A random graph, lowered, as a case for the conformance kit."""
    drawn = random_graph(seed, target=target, steps=steps, samples=samples)
    result = run_reference(drawn.lowered.program, drawn.spikes, record=Record(spikes=True))
    fired = result.layer_spikes or {}
    rates = {layer.name: float(fired[layer.name].mean()) for layer in drawn.lowered.program.layers if layer.fires}
    return RandomCase(seed=seed, program=drawn.lowered.program, spikes=drawn.spikes, rates=rates)


def random_graph(
    seed: int, *, target: str | TargetSpec = "loihi2", steps: int = 50, samples: int = 2, max_layers: int = 4
) -> RandomGraph:
    """A random graph and its Program; everything follows from the seed.

    A graph that does not fit the target (a threshold below one weight unit) is drawn anew from the same seed.
    """
    spec = load_target(target) if isinstance(target, str) else target
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng((seed, attempt))
        grown = _Growth(rng, spec, steps=steps, samples=samples)
        for i in range(int(rng.integers(1, max_layers + 1))):
            grown.add_layer(i)
        grown.add_ends()
        graph, options = grown.graph(), grown.options(steps)
        try:
            lowered = lower(graph, target=spec, options=options)
        except DoesNotFit:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        return RandomGraph(graph=graph, spikes=grown.spikes, options=options, lowered=lowered)
    raise AssertionError("unreachable")


class _Growth:
    """A random graph while it is built, node by node."""

    def __init__(self, rng: np.random.Generator, spec: TargetSpec, *, steps: int, samples: int) -> None:
        self.rng, self.spec = rng, spec
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, Shape] = {}
        self.spikes: dict[str, Int64] = {}
        self.sources: list[str] = []
        self.nested: dict[str, list[str]] = {}
        self.reset: Reset = spec.resets[int(rng.integers(len(spec.resets)))]
        self.input_max = int(rng.choice([1, 1, 1, 5]))
        self.readout_beta = float(rng.choice([1.0, 0.9]))
        for i in range(2 if self.chance(0.15) else 1):
            name = f"in{i}"
            shape = self._input_shape()
            self.nodes[name] = nir.Input({"input": np.array(shape)})
            self.shapes[name] = shape
            counts = rng.integers(1, self.input_max + 1, (samples, steps, math.prod(shape)))
            self.spikes[name] = ((rng.random(counts.shape) < rng.uniform(0.1, 0.5)) * counts).astype(np.int64)
            self.sources.append(name)

    def chance(self, probability: float) -> bool:
        """Draw whether something happens."""
        return bool(self.rng.random() < probability)

    def options(self, steps: int) -> LowerOptions:
        """Draw the options with which the graph is lowered."""
        bits = self.spec.weight_bits if self.chance(0.7) else int(self.rng.integers(3, self.spec.weight_bits))
        return LowerOptions(dt_s=DT_S, input_max=self.input_max, time_steps=steps, weight_bits=bits)

    def graph(self) -> nir.NIRGraph:
        """The graph built so far: all neurons that lead nowhere are outputs, and some layers are nested graphs."""
        nodes, edges = dict(self.nodes), list(self.edges)
        if not any(isinstance(node, nir.Output) for node in nodes.values()):
            last = self.sources[-1]
            nodes["output"] = nir.Output({"output": np.array(self.shapes[last])})
            edges.append((last, "output"))
        for name, members in self.nested.items():
            shapes = self.shapes | {outer: self.shapes[inner[-1]] for outer, inner in self.nested.items()}
            nodes, edges = _nest(nodes, edges, name, members, shapes)
        info = GraphInfo(reset=self.reset, readout_beta=self.readout_beta)
        return nir.NIRGraph(nodes=nodes, edges=edges, metadata=info.to_metadata(), type_check=False)

    def add_layer(self, i: int) -> None:
        """One more population, with what leads into it."""
        rng = self.rng
        newest = self.sources[-1]
        end, shape, members = self._path(newest, f"l{i}", self.shapes[newest])
        neuron = f"n{i}"
        self.nodes[neuron] = self._neuron(shape)
        self.shapes[neuron] = shape
        self.edges.append((end, neuron))
        for other in self.sources[:-1]:
            if self.chance(0.35):
                self._join(other, neuron, f"j{i}_{other}", shape, delayed=self.chance(0.3))
        recurrent = self.chance(0.25)
        if recurrent:
            self._join(neuron, neuron, f"r{i}", shape, delayed=self.chance(0.3), gain=0.5)
        looped = [n for n in self.sources if n.startswith("n")]
        if looped and self.chance(0.15):
            # A loop through several layers, delayed enough for a chip on which every edge costs a step.
            first = looped[int(rng.integers(len(looped)))]
            self._join(neuron, first, f"b{i}", self.shapes[first], delay=6, gain=0.3)
        self.sources.append(neuron)
        self._tune(neuron)
        if not recurrent and members and self.chance(0.15):
            self.nested[f"sub{i}"] = [*members, neuron] if self._is_chain([*members, neuron]) else []
            if not self.nested[f"sub{i}"]:
                del self.nested[f"sub{i}"]

    def add_ends(self) -> None:
        """Outputs: neurons, a linear readout, or neurons that only integrate; sometimes two."""
        last = self.sources[-1]
        kind = str(self.rng.choice(["neurons", "neurons", "neurons", "linear", "LI", "I"]))
        if kind == "neurons":
            self._output(last, "output")
        else:
            size = int(self.rng.integers(2, 6))
            self._join(last, "read" if kind != "linear" else None, "w_out", (size,))
            self.shapes["w_out"] = (size,)
            one = np.ones(size)
            if kind == "LI":
                self.nodes["read"] = nir.LI(tau=20 * DT_S * one, r=20 * one, v_leak=0 * one)
            elif kind == "I":
                self.nodes["read"] = nir.I(r=one / DT_S)
            self.shapes["read"] = (size,)
            self._output("w_out" if kind == "linear" else "read", "output")
        early = [n for n in self.sources[:-1] if n.startswith("n")]
        if early and self.chance(0.15):
            self._output(early[0], "output2")

    def _output(self, source: str, name: str) -> None:
        self.nodes[name] = nir.Output({"output": np.array(self.shapes[source])})
        self.edges.append((source, name))

    def _input_shape(self) -> Shape:
        rng = self.rng
        kind = rng.integers(3)
        if kind == 0:
            return (int(rng.integers(3, 30)),)
        if kind == 1:
            return (int(rng.integers(1, 4)), int(rng.integers(5, 14)))
        return (int(rng.integers(1, 3)), int(rng.integers(4, 8)), int(rng.integers(4, 8)))

    def _path(self, source: str, name: str, shape: Shape) -> tuple[str, Shape, list[str]]:
        """Linear nodes from `source`: the last one's name, its shape, and all of them."""
        at, members = source, []
        count = 0
        for kind in self._kinds(shape):
            made = self._linear(kind, shape)
            if made is None:
                continue
            node, shape = made
            inner = f"{name}_{count}"
            count += 1
            self.nodes[inner] = node
            self.shapes[inner] = shape
            self.edges.append((at, inner))
            members.append(inner)
            at = inner
        return at, shape, members

    def _kinds(self, shape: Shape) -> list[str]:
        """Draw the node types of a linear path."""
        before = [str(self.rng.choice(["scale", "delay", "pool"]))] if self.chance(0.25) else []
        after = [str(self.rng.choice(["scale", "delay", "pool"]))] if self.chance(0.2) else []
        roll = self.rng.random()
        if len(shape) == 1 or roll < 0.25:
            middle = ["flatten", "dense", "dense"] if self.chance(0.15) else ["flatten", "dense"]
        elif roll < 0.9:
            middle = ["conv", "conv"] if self.chance(0.1) else ["conv"]
        else:
            middle = []  # neurons straight behind their source
        return [*before, *middle, *after]

    def _linear(self, kind: str, shape: Shape) -> tuple[Any, Shape] | None:
        """A node of a kind for a source of a shape, and the shape that it gives; None where it makes no sense."""
        rng = self.rng
        if kind == "flatten":
            flat = nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
            return None if len(shape) == 1 else (flat, (math.prod(shape),))
        if kind == "scale":
            by_channel = rng.uniform(0.5, 2, (shape[0], *[1] * (len(shape) - 1))) * np.ones(shape)
            return nir.Scale(scale=by_channel if self.chance(0.6) else rng.uniform(0.5, 2, shape)), shape
        if kind == "delay":
            delays = np.full(shape, int(rng.integers(0, 4))) if self.chance(0.5) else rng.integers(0, 4, shape)
            return nir.Delay(delay=delays * DT_S), shape
        if kind == "pool":
            return self._pool(shape)
        if kind == "dense":
            size = int(rng.integers(3, 25))
            weight = self._weights((size, math.prod(shape)))
            node = nir.Affine(weight=weight, bias=self._bias(size)) if self.chance(0.4) else nir.Linear(weight=weight)
            return node, (size,)
        return self._conv1d(shape) if len(shape) == 2 else self._conv2d(shape) if len(shape) == 3 else None

    def _pool(self, shape: Shape) -> tuple[Any, Shape] | None:
        if len(shape) != 3 or min(shape[1:]) < 3:
            return None
        window, stride = self.rng.integers(1, 4, 2), self.rng.integers(1, 3, 2)
        padding = np.minimum(self.rng.integers(0, 2, 2), window // 2) if self.chance(0.3) else np.zeros(2, np.int64)
        rows = (np.array(shape[1:]) + 2 * padding - window) // stride + 1
        kind = nir.AvgPool2d if self.chance(0.5) else nir.SumPool2d
        return kind(kernel_size=window, stride=stride, padding=padding), (shape[0], int(rows[0]), int(rows[1]))

    def _conv2d(self, shape: Shape) -> tuple[Any, Shape]:
        rng = self.rng
        while True:
            groups = int(rng.choice([1, shape[0]]))
            kernel = rng.integers(1, 4, 2)
            stride, dilation = rng.integers(1, 3, 2), rng.integers(1, 3, 2)
            out = groups * int(rng.integers(1, 4))
            padding: Any = tuple(int(p) for p in rng.integers(0, 2, 2))
            total = np.array(padding) * 2
            if self.chance(0.2):
                padding, stride, total = "same", np.ones(2, np.int64), dilation * (kernel - 1)
            rows = (np.array(shape[1:]) + total - dilation * (kernel - 1) - 1) // stride + 1
            if rows.min() < 1:
                continue
            node = nir.Conv2d(
                input_shape=(shape[1], shape[2]), weight=self._weights((out, shape[0] // groups, *kernel)),
                stride=tuple(int(s) for s in stride), padding=padding, dilation=tuple(int(d) for d in dilation),
                groups=groups, bias=self._bias(out),
            )  # fmt: skip
            return node, (out, int(rows[0]), int(rows[1]))

    def _conv1d(self, shape: Shape) -> tuple[Any, Shape]:
        rng = self.rng
        while True:
            groups = int(rng.choice([1, shape[0]]))
            kernel, stride, dilation, padding = (int(n) for n in rng.integers((1, 1, 1, 0), (5, 3, 3, 3)))
            out = groups * int(rng.integers(1, 4))
            length = (shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            if length < 1:
                continue
            node = nir.Conv1d(
                input_shape=shape[1], weight=self._weights((out, shape[0] // groups, kernel)), stride=stride,
                padding=padding, dilation=dilation, groups=groups, bias=self._bias(out),
            )  # fmt: skip
            return node, (out, length)

    def _weights(self, shape: Shape) -> Float64:
        """Weights of mixed signs, more of them positive so that something fires."""
        fan_in = math.prod(shape[1:])
        drawn: Float64 = self.rng.normal(self.rng.uniform(0, 0.6), 1, shape) / math.sqrt(fan_in)
        return drawn

    def _bias(self, size: int) -> Float64:
        return self.rng.normal(0, 0.1, size) if self.chance(0.3) else np.zeros(size)

    def _join(
        self, source: str, target: str | None, name: str, shape: Shape, *, delayed: bool = False, delay: int = 0,
        gain: float = 1.0,
    ) -> None:  # fmt: skip
        """A linear node from a node to neurons of a shape, sometimes delayed; none where NIR has no such node."""
        given = self.shapes[source]
        if len(shape) > 1 and given != shape:
            return
        at = source
        if delayed or delay:
            steps = delay or int(self.rng.integers(1, 4))
            at = self._behind(at, f"{name}_d", nir.Delay(delay=np.full(given, steps * DT_S)))
        if len(shape) == 1 and len(given) > 1:
            at = self._behind(
                at, f"{name}_f", nir.Flatten(input_type={"input": np.array(given)}, start_dim=0, end_dim=-1)
            )
        if len(shape) == 1:
            at = self._behind(at, name, nir.Linear(weight=gain * self._weights((shape[0], math.prod(given)))))
        elif len(shape) == 2:
            kernel = gain * self._weights((shape[0], shape[0], 3))
            at = self._behind(at, name, nir.Conv1d(
                input_shape=shape[1], weight=kernel, stride=1, padding=1, dilation=1, groups=1, bias=np.zeros(shape[0]),
            ))  # fmt: skip
        else:
            kernel = gain * self._weights((shape[0], shape[0], 3, 3))
            at = self._behind(at, name, nir.Conv2d(
                input_shape=(shape[1], shape[2]), weight=kernel, stride=(1, 1), padding=(1, 1), dilation=(1, 1),
                groups=1, bias=np.zeros(shape[0]),
            ))  # fmt: skip
        if target is not None:
            self.edges.append((at, target))

    def _behind(self, source: str, name: str, node: Any) -> str:
        """Put a node behind another; its name."""
        self.nodes[name] = node
        self.edges.append((source, name))
        return name

    def _neuron(self, shape: Shape) -> Any:
        """Neurons with a gain of about one; their threshold is still to be tuned."""
        rng, one = self.rng, np.ones(shape)
        by_neuron = self.spec.threshold_per == "neuron" and self.chance(0.3)
        spread = rng.uniform(0.7, 1.4, shape) if by_neuron else one
        tau = float(rng.choice([2, 5, 20, 100])) * DT_S * spread
        tau_syn = float(rng.choice([1.5, 3, 8])) * DT_S * one
        leak = one * (rng.uniform(-0.1, 0.1) if self.chance(0.2) else 0.0)
        to = one * (rng.uniform(-0.5, 0.3) if self.reset == "hard" and self.chance(0.15) else 0.0)
        kinds = ["IF", "LIF", "LIF", "Threshold"] + ["CubaLIF"] * 3 * (self.spec.current_bits > 0)
        kind = str(rng.choice(kinds))
        if kind == "Threshold":
            return nir.Threshold(threshold=one)
        if kind == "IF":
            return nir.IF(r=one / DT_S, v_threshold=one, v_reset=to)
        if kind == "LIF":
            return nir.LIF(tau=tau, r=tau / DT_S, v_leak=leak, v_threshold=one, v_reset=to)
        return nir.CubaLIF(
            tau_syn=tau_syn, tau_mem=tau, r=tau / DT_S, v_leak=leak, v_threshold=one, v_reset=to, w_in=tau_syn / DT_S
        )

    def _tune(self, name: str) -> None:
        """Set a population's threshold so that it fires at a drawn rate on the graph's own input."""
        node = self.nodes[name]
        wanted = float(np.exp(self.rng.uniform(np.log(0.03), np.log(0.35))))
        field = "threshold" if isinstance(node, nir.Threshold) else "v_threshold"
        floor = np.asarray(getattr(node, "v_reset", 0.0), np.float64)
        spread = self.rng.uniform(0.8, 1.25, self.shapes[name]) if self.chance(0.2) else 1.0
        low, high = np.log(1e-3), np.log(1e3)
        best, error = 1.0, np.inf
        for _ in range(_SEARCH_ROUNDS):
            middle = (low + high) / 2
            setattr(node, field, floor + np.exp(middle) * spread * np.ones(self.shapes[name]))
            network = real_network(self.graph(), options=LowerOptions(dt_s=DT_S, input_max=self.input_max))
            rate = float(run_float(network, self.spikes).spikes[self._full(name)].mean())
            if abs(np.log((rate + 1e-4) / wanted)) < error:
                best, error = float(np.exp(middle)), abs(np.log((rate + 1e-4) / wanted))
            low, high = (middle, high) if rate > wanted else (low, middle)
        setattr(node, field, floor + best * spread * np.ones(self.shapes[name]))

    def _full(self, name: str) -> str:
        """A node's name in the flattened graph."""
        return next((f"{outer}/{name}" for outer, members in self.nested.items() if name in members), name)

    def _is_chain(self, members: list[str]) -> bool:
        """Whether nodes form a chain that is joined to the rest only at its ends."""
        inside = set(members)
        entering = [(a, b) for a, b in self.edges if b in inside and a not in inside]
        return len(entering) == 1 and entering[0][1] == members[0]


def _nest(
    nodes: dict[str, Any], edges: list[tuple[str, str]], name: str, members: list[str], shapes: dict[str, Shape]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The graph with a row of nodes put into a graph of their own."""
    inside, first, last = set(members), members[0], members[-1]
    if any(b in inside and b != first and a not in inside for a, b in edges):
        return nodes, edges  # something has been joined to it since
    if any(a in inside and a != last and b not in inside for a, b in edges) or (last, first) in edges:
        return nodes, edges
    (source,) = {a for a, b in edges if b == first and a not in inside}
    given, made = np.array(shapes[source]), np.array(shapes[last])
    inner_edges = [("input", first), *[e for e in edges if set(e) <= inside], (last, "output")]
    inner = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": given}), **{n: nodes[n] for n in members},
            "output": nir.Output({"output": made}),
        },
        edges=inner_edges, type_check=False,
    )  # fmt: skip
    outer_nodes = {n: node for n, node in nodes.items() if n not in inside}
    outer_nodes[name] = inner
    outer = [(name if a in inside else a, name if b in inside else b) for a, b in edges if not {a, b} <= inside]
    return outer_nodes, outer
