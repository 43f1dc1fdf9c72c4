"""Files of ours for the peers to read: made by `to_nir` from a `SpikingNetwork`, or node by node with nir and
`save_nir`.

Each case is written twice: NAME.nir as we write it, and NAME.old.nir without `v_reset` where that is zero. A reader
with nir 1.0.5 or older knows no `v_reset` and refuses the first; nir 1.0.6 and newer takes what is missing for zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import torch

from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import save_nir
from neuroprivacy.graph.metadata import GraphInfo
from neuroprivacy.networks import ModelSpec, SpikingNetwork, SpikingSpec, build_snn, model_spec

DT_S = 1e-4
STEPS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file of ours.

    Attributes:
        what: one line for people.
        graph: the network.
        reset: what its neurons do on a spike; NIR itself can only say "hard".
        dt_s: its time step.
    """

    what: str
    graph: nir.NIRGraph
    reset: str = "hard"
    dt_s: float = DT_S


def draw(seed: int, *shape: int, gain: float = 1.0) -> Any:
    """Seeded weights with a positive mean, so that layers fire."""
    fan_in = int(np.prod(shape[1:]))
    drawn = np.random.default_rng(seed).normal(0.35, 1.0, shape) * gain / np.sqrt(fan_in)
    return drawn.astype(np.float32)


def write_cases(folder: Path) -> dict[str, Case]:
    """Every case as NAME.nir, NAME.old.nir and NAME.npz (inputs, dt_s)."""
    cases = {name: make() for name, make in CASES.items()}
    for name, case in cases.items():
        save_nir(case.graph, folder / f"{name}.nir")
        leave_out_v_reset(save_nir(case.graph, folder / f"{name}.old.nir"))
        shape = tuple(int(n) for n in case.graph.nodes["input"].output_type["output"])
        inputs = (np.random.default_rng(7).random((STEPS, *shape)) < 0.4).astype(np.int64)
        np.savez(folder / f"{name}.npz", inputs=inputs, dt_s=case.dt_s)
    return cases


def leave_out_v_reset(path: Path) -> None:
    """Remove every `v_reset` that is zero."""

    def clean(group: h5py.Group) -> None:
        for name in list(group):
            if isinstance(group[name], h5py.Group):
                clean(group[name])
            elif name == "v_reset" and not np.any(group[name][()]):
                del group[name]

    with h5py.File(path, "r+") as file:
        clean(file)


def spiking_net(what: str, *, beta: float = 0.9, reset: Any = "hard", bias: bool = True, dt_s: float = DT_S) -> Case:
    """Two layers that spike, through the library's own writer."""
    model = model_spec("mlp", input_shape=(6,), classes=8, hidden=(12,), bias=bias)
    spec = SpikingSpec(beta=beta, reset=reset, readout="spike_count", time_steps=STEPS)
    return Case(what=what, graph=to_nir(_filled(model, spec), dt_s=dt_s), reset=reset, dt_s=dt_s)


def _filled(model: ModelSpec, spec: SpikingSpec) -> SpikingNetwork:
    """A network with seeded weights and small biases."""
    net = build_snn(model, spec)
    for seed, parameter in enumerate(p for p in net.parameters() if p.requires_grad):
        values = draw(seed, *parameter.shape, gain=1.0)
        parameter.data = torch.from_numpy(values if parameter.dim() > 1 else 0.05 * np.sign(values))
    return net


def if_alone() -> Case:
    one = np.ones(8, np.float32)
    made = by_hand(
        "dt = 1: Affine, IF with R = 1", (6,), {"fc": affine(0, 6, 8), "if": nir.IF(one, one, one * 0)}, dt_s=1.0
    )
    return replace(made, dt_s=1.0)


def membrane_readout() -> Case:
    model = model_spec("mlp", input_shape=(6,), classes=8, hidden=(12,), bias=True)
    spec = SpikingSpec(beta=0.9, readout="membrane", time_steps=STEPS)
    return Case(what="ends in a linear layer, whose currents are the output", graph=to_nir(_filled(model, spec)))


def convnet() -> Case:
    model = model_spec("convnet", input_shape=(2, 8, 8), classes=8, hidden=(12,), width=0.25, bias=True)
    spec = SpikingSpec(beta=0.9, readout="spike_count", time_steps=STEPS)
    return Case(what="Conv2d, LIF, AvgPool2d, twice, Flatten, Affine, LIF, twice", graph=to_nir(_filled(model, spec)))


def neurons(kind: str, *shape: int) -> Any:
    """A population with full-shape parameters, each neuron v = v·left + input."""
    one = np.ones(shape, np.float32)
    common = {"v_leak": one * 0, "v_threshold": one, "v_reset": one * 0}
    if kind == "IF":
        return nir.IF(r=one / DT_S, v_threshold=one, v_reset=one * 0)
    if kind == "LIF":
        return nir.LIF(tau=one * 10 * DT_S, r=one * 10, **common)
    return nir.CubaLIF(tau_mem=one * 10 * DT_S, tau_syn=one * 2.5 * DT_S, r=one * 10, w_in=one * 2.5, **common)


def by_hand(what: str, shape: tuple[int, ...], nodes: dict[str, Any], loops: Any = (), dt_s: float = DT_S) -> Case:
    """A chain of nodes, and edges that close loops."""
    every = {"input": nir.Input({"input": np.array(shape)}), **nodes, "output": nir.Output({"output": np.array([8])})}
    edges = [*itertools.pairwise(name for name in every if name != "recurrent"), *loops]
    info = GraphInfo(dt_s=dt_s, reset="hard", readout="spike_count", coding="poisson", time_steps=STEPS)
    return Case(what=what, graph=nir.NIRGraph(every, edges, metadata=info.to_metadata(), type_check=False))


def unit_resistance() -> Case:
    """LIF with R = 1: the factor dt/τ is in the weights."""
    one = np.ones(8, np.float32)
    node = nir.LIF(tau=one * 10 * DT_S, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)
    return by_hand("Affine, LIF with R = 1", (6,), {"fc": affine(0, 6, 8, 10.0), "lif": node})


def tie(kind: str) -> Case:
    """Weights in quarters and a leak of one half: v meets θ exactly."""
    one = np.ones(8)
    common = {"v_threshold": one, "v_reset": one * 0}
    node = nir.IF(one / DT_S, **common) if kind == "IF" else nir.LIF(one * 2 * DT_S, one * 2, one * 0, **common)
    weight = np.random.default_rng(3).choice([-0.25, 0.25, 0.5, 0.75], (8, 6)).astype(np.float32)
    return by_hand(
        f"{kind}, where v = θ occurs", (6,), {"fc": nir.Affine(weight, np.zeros(8, np.float32)), "spk": node}
    )


def affine(seed: int, n_in: int, n_out: int, gain: float = 1.0) -> nir.Affine:
    return nir.Affine(weight=draw(seed, n_out, n_in, gain=gain), bias=np.linspace(-0.05, 0.05, n_out, dtype=np.float32))


def cuba() -> Case:
    nodes = {"fc1": affine(0, 6, 12, 0.4), "cuba1": neurons("CubaLIF", 12)}
    return by_hand(
        "Affine, CubaLIF, twice", (6,), {**nodes, "fc2": affine(1, 12, 8, 0.4), "cuba2": neurons("CubaLIF", 8)}
    )


def conv(pool: str, kind: str = "LIF") -> Case:
    nodes: dict[str, Any] = {
        "conv": nir.Conv2d(
            input_shape=(8, 8), weight=draw(0, 4, 2, 3, 3, gain=0.5), stride=1, padding=1, dilation=1, groups=1,
            bias=np.linspace(-0.05, 0.05, 4, dtype=np.float32),
        ),
        "act1": neurons(kind, 4, 8, 8),
    }  # fmt: skip
    shape = (4, 8, 8)
    if pool:
        kernel = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
        nodes["pool"] = getattr(nir, pool)(**kernel)
        shape = (4, 4, 4)
    nodes["flatten"] = nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
    gain = {"": 0.3, "AvgPool2d": 0.6, "SumPool2d": 0.15}[pool]
    nodes |= {"fc": affine(1, int(np.prod(shape)), 8, gain), "act2": neurons(kind, 8)}
    return by_hand(f"Conv2d, {kind}, {pool + ', ' if pool else ''}Flatten, Affine, {kind}", (2, 8, 8), nodes)


def recurrent_matrix(gain: float) -> nir.Affine:
    """Affine without bias: not every peer reads Linear."""
    return nir.Affine(weight=draw(5, 8, 8, gain=gain), bias=np.zeros(8, np.float32))


def recurrent(kind: str) -> Case:
    nodes = {"fc": affine(0, 6, 8, 0.6), "lif": neurons(kind, 8), "recurrent": recurrent_matrix(0.4)}
    return by_hand(
        f"Affine, {kind} in a loop through Affine", (6,), nodes, [("lif", "recurrent"), ("recurrent", "lif")]
    )


def nested() -> Case:
    """The loop as a graph within the graph, as snnTorch and Rockpool write it."""
    size = np.array([8])
    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": size}), "lif": neurons("CubaLIF", 8),
            "w_rec": recurrent_matrix(0.3), "output": nir.Output({"output": size}),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")], type_check=False,
    )  # fmt: skip
    return by_hand("Affine, CubaLIF in a loop, as a nested graph", (6,), {"fc": affine(0, 6, 8, 0.4), "rnn": inner})


#: Name -> maker, in the order of the table.
CASES: dict[str, Callable[[], Case]] = {
    "if_hard": lambda: spiking_net("to_nir, IF, hard reset", beta=1.0),
    "if_soft": lambda: spiking_net("to_nir, IF, soft reset", beta=1.0, reset="soft"),
    "lif_hard": lambda: spiking_net("to_nir, LIF, hard reset"),
    "lif_soft": lambda: spiking_net("to_nir, LIF, soft reset", reset="soft"),
    "lif_no_bias": lambda: spiking_net("to_nir, LIF, hard reset, layers without bias (NIR's Linear)", bias=False),
    "lif_unit_r": unit_resistance,
    "if_unit_dt": if_alone,
    "lif_unit_dt": lambda: spiking_net("to_nir(dt_s=1), LIF, hard reset", dt_s=1.0),
    "membrane": membrane_readout,
    "cuba": cuba,
    "conv": lambda: conv(""),
    "conv_avg": lambda: conv("AvgPool2d"),
    "conv_sum": lambda: conv("SumPool2d"),
    "conv_sum_if": lambda: conv("SumPool2d", "IF"),
    "convnet": convnet,
    "recurrent": lambda: recurrent("LIF"),
    "recurrent_cuba": lambda: recurrent("CubaLIF"),
    "nested": nested,
    "if_tie": lambda: tie("IF"),
    "lif_tie": lambda: tie("LIF"),
}
