"""NIR graphs as torch networks: every spike is that of the float interpretation, and the graph comes back."""

from collections import Counter
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

from neuroprivacy.export import from_nir, to_nir
from neuroprivacy.graph import GraphInfo, load_nir, save_nir
from neuroprivacy.lowering import LowerOptions, continuous_network, lower, real_network
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.networks import SpikingNetwork, load_checkpoint, save_checkpoint
from neuroprivacy.testing.random_graphs import RandomGraph, random_graph

TARGETS = ("loihi2", "loihi2-soft", "int8")
STEPS = 20


def drawn(seed: int) -> tuple[RandomGraph, LowerOptions]:
    graph = random_graph(seed, target=TARGETS[seed % 3], steps=STEPS)
    chosen = graph.options
    return graph, LowerOptions(dt_s=chosen.dt_s, rule=chosen.rule, input_max=chosen.input_max)


def spikes_of(net: SpikingNetwork, graph: RandomGraph, options: LowerOptions) -> dict[str, np.ndarray]:
    """(samples, time steps, neurons) by population."""
    ports = real_network(graph.graph, options=options).inputs
    given = {p.name: torch.from_numpy(graph.spikes[p.name] * p.scale).swapaxes(0, 1) for p in ports}
    with torch.no_grad():
        found = net({p.name: given[p.name].reshape(STEPS, -1, *p.shape) for p in ports}, record=True).spikes
    return {name: s.swapaxes(0, 1).flatten(2).numpy() for name, s in found.items()}


@pytest.mark.parametrize(
    "seeds",
    [range(10), *(pytest.param(range(s, s + 10), marks=pytest.mark.slow) for s in range(10, 200, 10))],
    ids=str,
)
def test_every_spike_is_that_of_the_float_interpretation(seeds: range) -> None:
    """200 random graphs: every primitive, joins, loops, delays, nesting, several ends; and back again."""
    fired = ties = 0
    for seed in seeds:
        graph, options = drawn(seed)
        real = real_network(graph.graph, options=options)
        run = run_float(real, graph.spikes)
        expected = run.spikes
        net = from_nir(graph.graph, dt_s=options.dt_s, rule=options.rule, dtype=torch.float64)
        found = spikes_of(net, graph, options)
        names = [layer.name for layer in real.layers if layer.fires]
        assert set(found) == set(names)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"seed {seed}, {name}")
            fired += int(expected[name].sum())
        firing = [layer for layer in real.layers if layer.fires]
        tie = any(np.isclose(run.before[n.name], n.threshold, rtol=1e-9, atol=0).any() for n in firing)
        ties += tie
        if options.rule == "euler" and not tie:  # which time constants are written for, up to rounding
            back = real_network(to_nir(net, dt_s=real.dt_s), options=options)
            again = run_float(back, dict(zip((p.name for p in back.inputs), graph.spikes.values(), strict=True))).spikes
            for name in names:
                np.testing.assert_array_equal(again[name], expected[name], err_msg=f"seed {seed}, {name}")
    assert fired > 1000
    assert ties <= 2


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_the_graph_comes_back_node_by_node(seed: int) -> None:
    graph, options = drawn(seed)
    net = from_nir(graph.graph, dt_s=options.dt_s, rule=options.rule, dtype=torch.float64)
    flat = continuous_network(graph.graph, options=options)
    kept = {node.name for node in net.nodes}
    before = {name: node for name, node in flat.graph.nodes.items() if name in kept or isinstance(node, nir.Output)}
    after = to_nir(net, dt_s=flat.dt_s)
    own = {n: v for n, v in after.nodes.items() if n in before}

    def kind(node: nir.NIRNode) -> str:
        """A neuron that keeps nothing from a time step to the next has three forms."""
        taus = [getattr(node, f, None) for f in ("tau", "tau_mem", "tau_syn")]
        brief = [tau is not None and np.allclose(tau, flat.dt_s) for tau in taus]
        name = type(node).__name__
        if name == "CubaLIF" and brief[2]:
            name, brief[0] = "LIF", brief[1]
        return "Threshold" if name == "LIF" and brief[0] else name

    assert Counter(map(kind, own.values())) == Counter(kind(before[name]) for name in own)
    assert {name for name in before if not isinstance(before[name], nir.Output)} <= set(own)
    for name, node in own.items():
        same = type(node) is type(before[name]) and options.rule == "euler"
        for field in ("weight", "bias", "scale", "threshold", "v_threshold", "v_reset", "tau", "tau_mem", "tau_syn"):
            value, found = getattr(before[name], field, None), np.asarray(getattr(node, field, 0.0))
            if not same or value is None or (field == "weight" and np.shape(value) != found.shape):
                continue  # another form of the same neuron, or a kernel with uneven padding
            np.testing.assert_allclose(np.broadcast_to(value, found.shape), found, rtol=1e-6, atol=1e-12)
    straight = {(a, b) for a, b in flat.graph.edges if a in own and b in own}
    assert straight <= set(after.edges) | {(a, a) for a in own}


def cuba(*, reset: str = "hard") -> nir.NIRGraph:
    """A current-based population with leaks, resets and constants that differ by neuron, recurrent."""
    rng = np.random.default_rng(3)
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "fc.in": nir.Affine(weight=rng.normal(0.4, 1, (5, 6)), bias=rng.normal(0, 0.2, 5)),
        "back": nir.Linear(weight=rng.normal(0, 0.5, (5, 5))),
        "keys": nir.CubaLIF(
            tau_syn=np.linspace(2e-3, 5e-3, 5), tau_mem=np.linspace(8e-3, 2e-2, 5), r=np.linspace(4, 6, 5),
            w_in=np.full(5, 2.0), v_leak=np.linspace(-0.05, 0.1, 5), v_threshold=np.ones(5), v_reset=np.full(5, -0.2),
        ),
        "out": nir.Linear(weight=rng.normal(0, 1, (3, 5))),
        "read": nir.LI(tau=np.full(3, 2e-2), r=np.full(3, 20.0), v_leak=np.zeros(3)),
        "output": nir.Output({"output": np.array([3])}),
    }  # fmt: skip
    edges = [("input", "fc.in"), ("fc.in", "keys"), ("keys", "back"), ("back", "keys"), ("keys", "out")]
    edges += [("out", "read"), ("read", "output")]
    info = GraphInfo(dt_s=1e-3, reset=reset, time_steps=30)
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=info.to_metadata(), type_check=False)


def test_it_can_be_trained_stored_and_written(tmp_path: Path) -> None:
    net = from_nir(cuba())
    assert [node.name for node in net.nodes if node.kind == "neuron"] == ["keys_", "read"]
    assert (net.spec.readout, net.spec.time_steps, net.spec.coding, net.input_shape) == ("membrane", 30, None, (6,))
    x = (torch.rand(30, 8, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    net(x).readout.square().sum().backward()
    assert all(bool(p.grad is not None and p.grad.any()) for p in net.parameters())
    back = load_checkpoint(save_checkpoint(net, tmp_path / "net")).spiking
    assert torch.equal(back(x).readout, net(x).readout)
    assert 0.01 < float(net(x, record=True).spikes["keys_"].detach().mean()) < 0.9
    written = load_nir(save_nir(to_nir(back, dt_s=1e-3), tmp_path / "net.nir"))
    given = {"input": x.swapaxes(0, 1).numpy().astype(np.int64)}
    one, other = (run_float(real_network(g, options=LowerOptions()), given).v["read"] for g in (cuba(), written))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    assert lower(written, target="loihi2", options=LowerOptions(constants="mean")).program.readout == "membrane"


def test_single_precision_gains_are_one() -> None:
    """R = tau / dt in float32 gives gains of 1 within rounding; such neurons are plain ones."""
    one = np.ones(4, np.float32)
    tau = np.float32(1e-4 / (1 - 0.9))
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "lif": nir.LIF(tau=one * tau, r=one * np.float32(tau / 1e-4), v_leak=one * 0, v_threshold=one, v_reset=one * 0),
        "output": nir.Output({"output": np.array([4])}),
    }
    graph = nir.NIRGraph(
        nodes=nodes, edges=[("input", "lif"), ("lif", "output")], metadata=GraphInfo(dt_s=1e-4).to_metadata()
    )
    (neuron,) = from_nir(graph).neurons().values()
    assert neuron.is_plain
    assert neuron.beta == pytest.approx(0.9, rel=1e-6)
