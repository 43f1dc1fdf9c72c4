"""SpikingGraph: the same numbers as SpikingNet for a chain, sums and factors besides, and what is refused."""

import pytest
import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import ModelSpec, SpikingGraph, SpikingNet, SpikingNeuron, SpikingSpec, Step, model_spec
from neuroprivacy.networks.spiking_graph import USER_FAMILY, Scale


def chain(**fields: object) -> tuple[SpikingNet, SpikingGraph]:
    """A network of ours and the same one as steps."""
    model = model_spec("convnet", input_shape=(1, 8, 8), classes=3, hidden=(7,), width=0.2, bias=True, dropout=0.0)
    net = SpikingNet(SpikingSpec(model=model, steps=5, **fields)).eval()
    with torch.no_grad():
        for neuron in net.neurons().values():
            neuron.threshold.fill_(0.4)
    steps, x = [Step(name="input", kind="input", sources=(), shape=(1, 8, 8))], torch.zeros(1, 1, 8, 8)
    for name, module in net.layers.named_children():
        spiking = isinstance(module, SpikingNeuron)
        x = x if spiking else module(x)
        kind = "neuron" if spiking else "layer"
        steps.append(Step(name=name, kind=kind, sources=(steps[-1].name,), shape=tuple(x.shape[1:])))
    return net, SpikingGraph(net.spec, steps, dict(net.layers.named_children()))


def spec(**fields: object) -> SpikingSpec:
    return SpikingSpec(model=ModelSpec(family=USER_FAMILY, input_shape=(4,), classes=3, hidden=()), steps=3, **fields)


def branched(**fields: object) -> SpikingGraph:
    """out = fc(s) + 2 s of three neurons s."""
    steps = [
        Step(name="input", kind="input", sources=(), shape=(4,)),
        Step(name="first", kind="layer", sources=("input",), shape=(3,)),
        Step(name="act", kind="neuron", sources=("first",), shape=(3,)),
        Step(name="fc", kind="layer", sources=("act",), shape=(3,)),
        Step(name="twice", kind="layer", sources=("act",), shape=(3,)),
        Step(name="sum", kind="add", sources=("fc", "twice"), shape=(3,)),
    ]
    layers = {"first": nn.Linear(4, 3), "act": SpikingNeuron(threshold=0.1), "fc": nn.Linear(3, 3), "twice": Scale(2)}
    return SpikingGraph(spec(**fields), steps, layers)


@pytest.mark.parametrize("beta", [1.0, 0.8])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("readout", ["membrane", "spike_count"])
@pytest.mark.parametrize("given", [1, 5])
def test_a_chain_is_a_spiking_net(beta: float, reset: str, readout: str, given: int) -> None:
    net, graph = chain(beta=beta, reset=reset, readout=readout)
    x = torch.rand(given, 6, 1, 8, 8)
    expected, found = net(x, record=True), graph(x, record=True)
    assert torch.equal(found.readout, expected.readout)
    assert found.spikes.keys() == expected.spikes.keys() == graph.neurons().keys()
    assert all(torch.equal(found.spikes[name], expected.spikes[name]) for name in expected.spikes)
    assert sum(float(s.detach().sum()) for s in found.spikes.values()) > 0
    assert not graph(x).spikes


def test_branches_add() -> None:
    graph = branched()
    x = torch.rand(3, 5, 4)
    found = graph(x, record=True)
    spikes = found.spikes["act"]
    expected = (graph.layers["fc"](spikes) + 2 * spikes).sum(0)
    torch.testing.assert_close(found.readout, expected)


def test_a_constant_branch_and_one_over_time_add() -> None:
    steps = [
        Step(name="input", kind="input", sources=(), shape=(3,)),
        Step(name="act", kind="neuron", sources=("input",), shape=(3,)),
        Step(name="sum", kind="add", sources=("act", "input"), shape=(3,)),
    ]
    graph = SpikingGraph(spec(), steps, {"act": SpikingNeuron(threshold=0.5)})
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
    ("step", "text"),
    [
        (Step(name="a", kind="layer", sources=("later",), shape=(4,)), "a: takes later, which no earlier step gives"),
        (Step(name="a", kind="layer", sources=("input",), shape=(4,)), "a: has no module"),
        (Step(name="a", kind="neuron", sources=("input",), shape=(4,)), "a: has no module"),
        (Step(name="a", kind="relu", sources=("input",), shape=(4,)), "a: is a ReLU; convert the network first"),
    ],
)
def test_steps_that_cannot_run_are_refused(step: Step, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SpikingGraph(spec(), [Step(name="input", kind="input", sources=(), shape=(4,)), step], {})
