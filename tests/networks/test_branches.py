"""SpikingNetwork: the same numbers as SpikingNetwork for a chain, sums and factors besides, and what is refused."""

import pytest
import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import Node, SpikingNetwork, SpikingNeuron, SpikingSpec
from neuroprivacy.networks.layers import Delay, Scale


def spec(**fields: object) -> SpikingSpec:
    return SpikingSpec(time_steps=3, **fields)


def branched(**fields: object) -> SpikingNetwork:
    """out = fc(s) + 2 s of three neurons s."""
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(4,)),
        Node(name="first", kind="layer", sources=("input",), shape=(3,)),
        Node(name="act", kind="neuron", sources=("first",), shape=(3,)),
        Node(name="fc", kind="layer", sources=("act",), shape=(3,)),
        Node(name="twice", kind="layer", sources=("act",), shape=(3,)),
        Node(name="sum", kind="add", sources=("fc", "twice"), shape=(3,)),
    ]
    layers = {"first": nn.Linear(4, 3), "act": SpikingNeuron(threshold=0.1), "fc": nn.Linear(3, 3), "twice": Scale(2)}
    return SpikingNetwork(spec(**fields), nodes, layers)


def test_branches_add() -> None:
    graph = branched()
    x = torch.rand(3, 5, 4)
    found = graph(x, record=True)
    spikes = found.spikes["act"]
    expected = (graph.layers["fc"](spikes) + 2 * spikes).sum(0)
    torch.testing.assert_close(found.readout, expected)


def test_a_constant_branch_and_one_over_time_add() -> None:
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(3,)),
        Node(name="act", kind="neuron", sources=("input",), shape=(3,)),
        Node(name="sum", kind="add", sources=("act", "input"), shape=(3,)),
    ]
    graph = SpikingNetwork(spec(), nodes, {"act": SpikingNeuron(threshold=0.5)})
    x = torch.rand(1, 5, 3)
    found = graph(x, record=True)
    torch.testing.assert_close(found.readout, found.spikes["act"].sum(0) + 3 * x[0])


def test_gradients_reach_every_weight() -> None:
    graph = branched()
    with torch.no_grad():
        graph.layers["first"].weight.fill_(0.2)
    graph(torch.rand(3, 5, 4)).readout.square().sum().backward()
    assert all(bool((p.grad != 0).any()) for name, p in graph.named_parameters() if name.endswith("weight"))


def test_a_state_dict_holds_weights_and_thresholds() -> None:
    one, other = branched(), branched()
    with torch.no_grad():
        one.neurons()["act"].threshold.fill_(0.7)
    other.load_state_dict(one.state_dict())
    x = torch.rand(3, 5, 4)
    assert torch.equal(one(x).readout, other(x).readout)
    assert {"layers.act.threshold", "layers.twice.factor", "layers.fc.weight"} <= one.state_dict().keys()


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (
            Node(name="a", kind="layer", sources=("later",), shape=(4,)),
            "a: reads later, which no earlier node computes",
        ),
        (Node(name="a", kind="layer", sources=("input",), shape=(4,)), "a: has no module"),
        (Node(name="a", kind="neuron", sources=("input",), shape=(4,)), "a: has no module"),
        (Node(name="a", kind="relu", sources=("input",), shape=(4,)), "a: is a ReLU; convert the network first"),
    ],
)
def test_nodes_that_cannot_run_are_refused(node: Node, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SpikingNetwork(spec(), [Node(name="input", kind="input", sources=(), shape=(4,)), node], {})


def looped() -> SpikingNetwork:
    """Two populations that feed each other, one of them itself; a delay of two time steps; currents and leaks."""
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(4,)),
        Node(name="fc", kind="layer", sources=("input",), shape=(5,)),
        Node(name="back", kind="layer", sources=("b",), shape=(5,)),
        Node(name="self", kind="layer", sources=("a",), shape=(5,)),
        Node(name="sum", kind="add", sources=("fc", "back", "self"), shape=(5,)),
        Node(name="a", kind="neuron", sources=("sum",), shape=(5,)),
        Node(name="on", kind="layer", sources=("a",), shape=(3,)),
        Node(name="late", kind="layer", sources=("a",), shape=(5,)),
        Node(name="slow", kind="layer", sources=("late",), shape=(3,)),
        Node(name="both", kind="add", sources=("on", "slow"), shape=(3,)),
        Node(name="b", kind="neuron", sources=("both",), shape=(3,)),
        Node(name="out", kind="layer", sources=("b",), shape=(2,)),
    ]
    torch.manual_seed(2)
    layers = {
        "fc": nn.Linear(4, 5), "back": nn.Linear(3, 5, bias=False), "self": nn.Linear(5, 5, bias=False),
        "a": SpikingNeuron(threshold=0.3, beta=0.8, alpha=0.5), "on": nn.Linear(5, 3), "late": Delay(2),
        "slow": nn.Linear(5, 3, bias=False),
        "b": SpikingNeuron(threshold=torch.tensor([0.2, 0.3, 0.4]), beta=torch.tensor([0.9, 0.7, 0.8]), reset="soft"),
        "out": nn.Linear(3, 2),
    }  # fmt: skip
    return SpikingNetwork(spec(), nodes, layers)


def test_loops_and_delays_are_computed_step_by_step() -> None:
    net = looped()
    x = (torch.rand(9, 6, 4) < 0.5).float()
    found = net(x, record=True)
    layer = dict(net.layers.items())
    spikes_a, spikes_b = [torch.zeros(6, 5)], [torch.zeros(6, 3)]
    u, v, w, readout = torch.zeros(6, 5), torch.zeros(6, 5), torch.zeros(6, 3), torch.zeros(6, 2)
    with torch.no_grad():
        for t in range(9):
            u = 0.5 * u + layer["fc"](x[t]) + layer["back"](spikes_b[-1]) + layer["self"](spikes_a[-1])
            v = 0.8 * v + u
            spikes_a.append((v > 0.3).float())
            v = v * (1 - spikes_a[-1])
            delayed = spikes_a[t - 1] if t >= 2 else torch.zeros(6, 5)
            w = layer["b"].beta * w + layer["on"](spikes_a[-1]) + layer["slow"](delayed)
            spikes_b.append((w > layer["b"].threshold).float())
            w = w - layer["b"].threshold * spikes_b[-1]
            readout = readout + layer["out"](spikes_b[-1])
    assert torch.equal(found.spikes["a"], torch.stack(spikes_a[1:]))
    assert torch.equal(found.spikes["b"], torch.stack(spikes_b[1:]))
    torch.testing.assert_close(found.readout, readout)
    assert 0.05 < float(found.spikes["a"].detach().mean()) < 0.95
    assert 0.05 < float(found.spikes["b"].detach().mean()) < 0.95


def test_gradients_pass_through_a_loop() -> None:
    net = looped()
    net((torch.rand(9, 6, 4) < 0.5).float()).readout.square().sum().backward()
    assert all(bool((p.grad != 0).any()) for name, p in net.named_parameters() if name.endswith("weight"))


def test_delays_that_differ_by_value() -> None:
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(3,)),
        Node(name="late", kind="layer", sources=("input",), shape=(3,)),
        Node(name="act", kind="neuron", sources=("late",), shape=(3,)),
    ]
    layers = {"late": Delay(torch.tensor([0, 1, 3])), "act": SpikingNeuron(threshold=0.5)}
    net = SpikingNetwork(SpikingSpec(time_steps=6, readout="spike_count"), nodes, layers)
    x = (torch.rand(6, 5, 3) < 0.5).float()
    found = net(x, record=True).spikes["act"]
    for value, steps in enumerate((0, 1, 3)):
        expected = torch.cat([torch.zeros(steps, 5), x[: 6 - steps, :, value]])
        assert torch.equal(found[:, :, value], expected)


def test_several_inputs_go_by_name() -> None:
    nodes = [
        Node(name="left", kind="input", sources=(), shape=(3,)),
        Node(name="right", kind="input", sources=(), shape=(3,)),
        Node(name="sum", kind="add", sources=("left", "right"), shape=(3,)),
    ]
    net = SpikingNetwork(spec(), nodes, {})
    x, y = torch.rand(3, 5, 3), torch.rand(3, 5, 3)
    torch.testing.assert_close(net({"left": x, "right": y}).readout, (x + y).sum(0))
    with pytest.raises(ConfigurationError, match="input: the network reads left, right; the input names left"):
        net(x)
