"""A NIR graph run step by step in float64, slow and obvious, under a stated reading of its neurons.

NIR is continuous: it says neither the time step nor the order of things within one. A *reading* says both:

    Euler, hard     v = (1 - dt/τ) v + (dt/τ)(R I + v_leak)    spike if v > θ, then v = v_reset in the same step
    CubaLIF         i = (1 - dt/τs) i + (dt/τs) w_in x         first, then v as above with the new i

are the defaults, and what this library means. A peer that computes something else is described by the other values, so
that "differs" can be told apart from "differs, and this is exactly how". Independent of `neuroprivacy.lowering`, on
purpose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import nir
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a neuron node is computed in steps.

    Attributes:
        dt_s: time step, in the unit of the file's time constants.
        reset: "hard" (to v_reset); "soft" (v - θ); "soft-late" (θ is subtracted in the next step, after the leak);
            "soft-again" (as soft, but v that is still above θ loses θ once more in the next step, without a spike);
            "hard-late" (v is 0 all through the next step, whose input is lost).
        at_threshold: whether v = θ fires already.
        several: whether one step may give several spikes, ⌊v/θ⌋ of them.
        floor: whether v is kept at or above -θ.
        decay: "euler" (1 - dt/τ), "exponential" (exp(-dt/τ)), or what is left of v after a step, whatever τ says.
        gain: "file" (R (1 - leak); R dt for IF), "no-r" (dt/τ), or "one" (v grows by the input itself).
        synapse: of CubaLIF: "euler", "jump" (i + x enters v, then decays) or "jump-decay" (decays, then enters).
    """

    dt_s: float = 1e-4
    reset: Literal["hard", "soft", "soft-late", "soft-again", "hard-late"] = "hard"
    at_threshold: bool = False
    several: bool = False
    floor: bool = False
    decay: Literal["euler", "exponential"] | float = "euler"
    gain: Literal["file", "no-r", "one"] = "file"
    synapse: Literal["euler", "jump", "jump-decay"] = "euler"


def readings(base: Reading, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Reading]:
    """Node type -> its reading; "*" in `changes` is for all of them."""
    common = replace(base, **changes.get("*", {}))
    return {kind: replace(common, **changes.get(kind, {})) for kind in ("IF", "LIF", "CubaLIF")}


#: What a peer does that we do not, by field and value of its reading.
PHRASES: dict[tuple[str, Any], str] = {
    ("reset", "hard"): "resets hard, to v_reset", ("reset", "soft"): "subtracts θ",
    ("reset", "soft-late"): "subtracts θ one step late",
    ("reset", "soft-again"): "subtracts θ, and once more if v is still above it",
    ("reset", "hard-late"): "is reset all through the next step", ("at_threshold", True): "fires at v = θ",
    ("several", True): "fires several times a step", ("floor", True): "keeps v at or above -θ",
    ("decay", "exponential"): "leaks by exp(-dt/τ)", ("decay", 0.9): "leaks by 0.9 a step",
    ("gain", "no-r"): "ignores R", ("gain", "one"): "ignores R: the input enters v as it is",
    ("synapse", "jump"): "the input jumps into the current before its leak, without w_in",
    ("synapse", "jump-decay"): "the input jumps into the current, without w_in",
}  # fmt: skip


def reasons(
    graph: nir.NIRGraph, inputs: NDArray[Any], ours: Mapping[str, Reading], theirs: Mapping[str, Reading]
) -> list[str]:
    """What of `theirs` makes the outputs other than under `ours`: fields that change nothing are left out."""
    target = run(graph, inputs, theirs)
    kinds = {kind for kind in _kinds(graph) if kind in theirs}
    # One field at a time goes back to ours, in all kinds of neurons at once, as long as nothing changes by it.
    for name in ("at_threshold", "floor", "several", "synapse", "decay", "gain", "dt_s", "reset"):
        back = {kind: replace(how, **{name: getattr(ours[kind], name)}) for kind, how in theirs.items()}
        if np.array_equal(run(graph, inputs, back), target):
            theirs = back
    found = {
        (name, getattr(theirs[kind], name))
        for kind in kinds
        for name in Reading.__dataclass_fields__
        if getattr(theirs[kind], name) != getattr(ours[kind], name)
    }
    return sorted(PHRASES.get(key) or f"takes {key[1]:.3g} for the time step" for key in found)


def _kinds(graph: nir.NIRGraph) -> set[str]:
    """The node types of a graph and of those within it."""
    inner = [_kinds(node) for node in graph.nodes.values() if isinstance(node, nir.NIRGraph)]
    return {type(node).__name__ for node in graph.nodes.values()}.union(*inner)


def run(graph: nir.NIRGraph, inputs: NDArray[Any], how: Mapping[str, Reading]) -> Array:
    """Outputs of all steps, (T, outputs); `inputs` is (T, *input shape)."""
    network = _Network(graph, how)
    return np.stack([network.step(x).reshape(-1) for x in np.asarray(inputs, np.float64)])


class _Network:
    """A graph with state. An edge that closes a loop carries what its source gave in the step before."""

    def __init__(self, graph: nir.NIRGraph, how: Mapping[str, Reading]) -> None:
        self.units = {name: _unit(node, how) for name, node in graph.nodes.items()}
        self.inlets = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
        self.outlets = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
        edges = sorted(set(graph.edges))
        self.sources = {name: [a for a, b in edges if b == name] for name in self.units}
        self.order = self._order({name: [b for a, b in edges if a == name] for name in self.units})
        self.last: dict[str, Array] = {}

    def _order(self, targets: Mapping[str, list[str]]) -> list[str]:
        """Reverse postorder from the inputs: topological but for the edges that close a loop."""
        seen: set[str] = set()
        order: list[str] = []

        def visit(name: str) -> None:
            seen.add(name)
            for target in targets[name]:
                if target not in seen:
                    visit(target)
            order.append(name)

        for name in self.inlets:
            visit(name)
        return order[::-1]

    def step(self, x: Array) -> Array:
        done: dict[str, Array] = {}
        for name in self.order:
            known = {**self.last, **done}
            given = [known[source] for source in self.sources[name] if source in known]
            done[name] = self.units[name].step(x if name in self.inlets else sum(given[1:], given[0]))
        self.last = done
        return done[self.outlets[0]]


class _Function:
    """A node without memory."""

    def __init__(self, function: Any) -> None:
        self.step = function


class _Neurons:
    """A population."""

    def __init__(self, node: Any, how: Reading) -> None:
        self.how = how
        values = {name: np.asarray(getattr(node, name), np.float64) for name in ("r", "v_threshold", "v_reset")}
        self.r, self.threshold, self.v_reset = values.values()
        tau = node.tau_mem if isinstance(node, nir.CubaLIF) else getattr(node, "tau", None)
        share = np.zeros(()) if tau is None else how.dt_s / np.asarray(tau, np.float64)
        left = np.ones(()) if tau is None else _left(share, how)
        self.left = np.asarray(how.decay) if isinstance(how.decay, float) else left
        file_gain = self.r * (how.dt_s if tau is None else 1 - left)
        self.gain = {"file": file_gain, "no-r": share, "one": np.ones(())}[how.gain]
        self.leak = share * np.asarray(getattr(node, "v_leak", 0.0), np.float64)
        self.synaptic = isinstance(node, nir.CubaLIF)
        if self.synaptic:
            self.share_i = how.dt_s / np.asarray(node.tau_syn, np.float64)
            self.left_i = _left(self.share_i, how)
            self.w_in = np.asarray(node.w_in, np.float64)
        self.v: Array = np.zeros(())
        self.i: Array = np.zeros(())
        self.spikes: Array = np.zeros(())

    def _current(self, x: Array) -> Array:
        """What enters the membrane."""
        if not self.synaptic:
            return x
        if self.how.synapse == "euler":
            self.i = self.left_i * self.i + self.share_i * self.w_in * x
            return self.i
        jumped = self.i + x
        self.i = self.left_i * jumped
        return jumped if self.how.synapse == "jump" else self.i

    def step(self, x: Array) -> Array:
        v = self.left * self.v + self.gain * self._current(x) + self.leak
        carried = self.v > self.threshold
        if self.how.reset == "soft-late":
            v = v - self.threshold * self.spikes
        elif self.how.reset == "soft-again":
            v = v - self.threshold * carried
        elif self.how.reset == "hard-late":
            v = v * (1 - self.spikes)
        fired = v >= self.threshold if self.how.at_threshold else v > self.threshold
        self.spikes = fired * np.floor(v / self.threshold) if self.how.several else fired.astype(np.float64)
        if self.how.reset == "hard":
            v = np.where(fired, self.v_reset, v)
        elif self.how.reset == "soft":
            v = v - self.threshold * self.spikes
        elif self.how.reset == "soft-again":
            v = v - self.threshold * (self.spikes - carried)
        self.v = np.maximum(v, -self.threshold) if self.how.floor else v
        return self.spikes


def _left(share: Array, how: Reading) -> Array:
    """What is left after one step; `share` is dt/τ."""
    return np.exp(-share) if how.decay == "exponential" else 1 - share


def _unit(node: Any, how: Mapping[str, Reading]) -> Any:
    """A node as something with `step`."""
    kind = type(node).__name__
    if kind in how:
        return _Neurons(node, how[kind])
    if isinstance(node, nir.NIRGraph):
        return _Network(node, how)
    if isinstance(node, nir.Input | nir.Output):
        return _Function(lambda x: x)
    if isinstance(node, nir.Flatten):
        return _Function(lambda x: x.reshape(-1))
    if isinstance(node, nir.Linear | nir.Affine):
        weight = np.asarray(node.weight, np.float64)
        bias = np.asarray(getattr(node, "bias", 0.0), np.float64)
        return _Function(lambda x: weight @ x + bias)
    if isinstance(node, nir.Conv2d):
        return _Function(lambda x: _convolve(x, node))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        area = math.prod(_pair(node.kernel_size)) if isinstance(node, nir.AvgPool2d) else 1
        return _Function(lambda x: _windows(x, node, _pair(node.kernel_size), (1, 1)).sum((-2, -1)) / area)
    raise NotImplementedError(f"the oracle has no {kind}")


def _pair(value: Any) -> tuple[int, int]:
    flat = np.asarray(value).reshape(-1)
    return int(flat[0]), int(flat[-1])


def _windows(x: Array, node: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> Array:
    """(channels, height, width) -> (channels, rows, columns, *kernel)."""
    padding, stride = _pair(node.padding), _pair(node.stride)
    padded = np.pad(x, ((0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))  # type: ignore[call-overload]
    return seen[:, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _convolve(x: Array, node: nir.Conv2d) -> Array:
    """Cross-correlation, as torch's."""
    weight = np.asarray(node.weight, np.float64)
    seen = _windows(x, node, weight.shape[-2:], _pair(node.dilation))
    parts = [
        np.einsum("crskl,ockl->ors", part, kernels)
        for part, kernels in zip(np.split(seen, node.groups), np.split(weight, node.groups), strict=True)
    ]
    return np.concatenate(parts) + np.asarray(node.bias, np.float64)[:, None, None]
