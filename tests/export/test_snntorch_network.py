"""Networks of snnTorch: what their graphs compute, spike by spike, and what is refused with which remedy."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import load_nir, read_info, save_nir
from neuroprivacy.graph.metadata import WEIGHT_SCALE
from neuroprivacy.lowering import LowerOptions, lower, real_network
from neuroprivacy.lowering.float_run import run_float

STEPS, SAMPLES = 50, 4
HARD = {"reset_mechanism": "zero", "reset_delay": False}
LATE = {"reset_mechanism": "zero", "reset_delay": True}
SOFT = {"reset_mechanism": "subtract", "reset_delay": True}
SPENT = {"reset_mechanism": "subtract", "reset_delay": False}
pytestmark = pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")


def exact(shifted: torch.Tensor) -> torch.Tensor:
    """snnTorch's surrogates return float32 spikes; this keeps float64."""
    return (shifted > 0).to(shifted.dtype)


def leaky(beta: Any = 0.9, **options: Any) -> snn.Leaky:
    return snn.Leaky(**{"beta": beta, "init_hidden": True, "spike_grad": exact, **HARD, **options})


def synaptic(beta: Any = 0.8, **options: Any) -> snn.Synaptic:
    return snn.Synaptic(
        **{"alpha": 0.7, "beta": beta, "init_hidden": True, "spike_grad": exact, "threshold": 2.0, **HARD, **options}
    )


def rleaky(features: int = 10, beta: Any = 0.9, **options: Any) -> snn.RLeaky:
    own = {} if options.get("all_to_all") is False else {"linear_features": features}
    return snn.RLeaky(**{"beta": beta, "init_hidden": True, "spike_grad": exact, **HARD, **own, **options})


def rsynaptic(features: int = 10, **options: Any) -> snn.RSynaptic:
    given = {"alpha": 0.7, "beta": 1.0, "init_hidden": True, "spike_grad": exact, "threshold": 3.0, **SOFT}
    return snn.RSynaptic(**{**given, "linear_features": features, **options})


def dense(neuron: nn.Module, last: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 10), neuron, nn.Linear(10, 5), last or leaky(0.8, threshold=0.4))


def driven(net: nn.Module, seed: int, scale: float = 3.0) -> nn.Module:
    """Weights in float32 that make the neurons fire, computed with in float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("weight", "bias")):
                fan_in = parameter[0].numel() if name.endswith("weight") else 12
                parameter.copy_((torch.rand(parameter.shape, generator=generator) - 0.45) * scale / fan_in**0.5)
    for part in net.modules():
        if type(part).__name__ == "RecurrentOneToOne" and not isinstance(part.V, nn.Parameter):
            part.V = part.V.double()
    return net.double()


def spikes_in(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 + seed)
    return (torch.rand((STEPS, SAMPLES, *shape), generator=generator) < 0.4).double()


def of_graph(graph: nir.NIRGraph, x: torch.Tensor) -> np.ndarray:
    """(steps, samples, neurons) of the first output."""
    network = real_network(graph, options=LowerOptions())
    flat = x.transpose(0, 1).flatten(2).numpy().astype(np.int64)
    return run_float(network, {"input": flat}).spikes[network.outputs[0]].transpose(1, 0, 2)


def stepped(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    """What snnTorch fires, (steps, samples, neurons), from states of zero."""
    for part in net.eval().modules():
        if isinstance(part, snn.SpikingNeuron):
            part.reset_mem()
    with torch.no_grad():
        return torch.stack([net(step) for step in x]).flatten(2).numpy()


def differing(net: nn.Module, seed: int, shape: tuple[int, ...] = (12,)) -> int:
    x = spikes_in(seed, shape)
    expected = stepped(net, x)
    assert 0.01 < expected.mean() < 0.95, "the network proves nothing"
    return int((of_graph(to_nir(net, input_shape=shape), x) != expected).sum())


def perceptron(**options: Any) -> nn.Sequential:
    return dense(leaky(**options))


def convolutional() -> nn.Sequential:
    features = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), leaky(), nn.AvgPool2d(2), nn.Dropout(0.5))
    return nn.Sequential(features, nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(64, 6)), leaky(0.7))


def convolutional_1d() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 4, 3, stride=2, padding=1), leaky(), nn.Flatten(), nn.Linear(16, 6), leaky(0.7))


def recurrent_convolution() -> nn.Sequential:
    neuron = rleaky(linear_features=None, conv2d_channels=3, kernel_size=3)
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), neuron, nn.Flatten(), nn.Linear(192, 6), leaky(0.7))


EXPRESSIBLE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Leaky zero": (perceptron, (12,)),
    "Leaky zero, late": (lambda: dense(leaky(**LATE)), (12,)),
    "Leaky beta 0": (lambda: perceptron(beta=0.0), (12,)),
    "Leaky beta 1": (lambda: perceptron(beta=1.0), (12,)),
    "Leaky beta above 1 is 1": (lambda: perceptron(beta=1.3), (12,)),
    "Leaky subtract, beta 1": (lambda: dense(leaky(1.0, **SOFT), leaky(1, **SOFT)), (12,)),
    "Leaky default": (lambda: dense(leaky(**SOFT), leaky(0.8, threshold=0.4, **SOFT)), (12,)),
    "Leaky default, beta 0": (lambda: dense(leaky(0.0, **SOFT), leaky(0.8, threshold=0.4, **SOFT)), (12,)),
    "Leaky default per neuron": (
        lambda: dense(
            leaky(torch.linspace(0.5, 1, 10), threshold=torch.linspace(0.3, 2, 10), **SOFT),
            leaky(0.8, threshold=0.4, **SOFT),
        ),
        (12,),
    ),
    "RLeaky default": (lambda: dense(rleaky(**SOFT), leaky(0.8, threshold=0.4, **SOFT)), (12,)),
    "Leaky per neuron": (
        lambda: perceptron(beta=torch.linspace(0.5, 1, 10), threshold=torch.linspace(0.3, 2, 10)), (12,)
    ),
    "Leaky learned": (lambda: perceptron(learn_beta=True, learn_threshold=True, threshold=0.7), (12,)),
    "Synaptic zero": (lambda: dense(synaptic()), (12,)),
    "Synaptic beta 1": (lambda: dense(synaptic(1.0)), (12,)),
    "Synaptic subtract, beta 1": (lambda: dense(synaptic(1.0, **SOFT), leaky(1.0, **SOFT)), (12,)),
    "RLeaky zero": (lambda: dense(rleaky()), (12,)),
    "RLeaky subtract, beta 1": (lambda: dense(rleaky(beta=1.0, **SOFT), leaky(1.0, **SOFT)), (12,)),
    "RLeaky one to one": (lambda: dense(rleaky(all_to_all=False, V=-0.4)), (12,)),
    "RLeaky one to one each": (
        lambda: dense(rleaky(all_to_all=False, V=torch.linspace(-1, 1, 10), learn_recurrent=False)), (12,)
    ),
    "RSynaptic subtract, beta 1": (lambda: dense(rsynaptic(), leaky(1.0, **SOFT)), (12,)),
    "convolution": (convolutional, (2, 8, 8)),
    "convolution 1d": (convolutional_1d, (2, 8)),
    "recurrent convolution": (recurrent_convolution, (2, 8, 8)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("form", EXPRESSIBLE)
def test_the_graph_fires_as_snntorch_does(form: str, seed: int) -> None:
    make, shape = EXPRESSIBLE[form]
    scale = 5.0 if form.startswith("convolution") else 3.0
    assert differing(driven(make(), seed, scale), seed, shape) == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", EXPRESSIBLE)
def test_every_form_becomes_integers(form: str, tmp_path: Path) -> None:
    make, shape = EXPRESSIBLE[form]
    graph = load_nir(save_nir(to_nir(driven(make(), 0), input_shape=shape), tmp_path / "a.nir"))
    soft = read_info(graph).reset == "soft"
    lowered = lower(
        graph, target="loihi2-soft" if soft else "loihi2", options=LowerOptions(constants="mean", time_steps=50)
    )
    assert lowered.program.readout == "spike_count"


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "Leaky subtract at once": (lambda: leaky(1.0, **SPENT), "never spends a membrane above twice the threshold; ret"),
    "Leaky none": (lambda: leaky(reset_mechanism="none"), "never resets; retrain with .* or end in a Linear"),
    "Synaptic late": (lambda: synaptic(**LATE), "loses the input of the step after a spike, which a chip does not; re"),
    "Synaptic default": (lambda: synaptic(**SOFT), "subtracts after the leak"),
    "Synaptic at once": (lambda: synaptic(1.0, **SPENT), "never spends"),
    "RLeaky late": (lambda: rleaky(**LATE), "loses the input of the step after a spike"),
    "RLeaky at once": (lambda: rleaky(beta=1.0, **SPENT), "never spends"),
    "RSynaptic zero": (lambda: rsynaptic(**HARD), "does not reset its state in snnTorch 1.0.0; retrain with RLeaky"),
    "RSynaptic late": (lambda: rsynaptic(**LATE), "loses the input .* retrain with RLeaky, or with"),
    "RSynaptic default": (lambda: rsynaptic(beta=0.9), "subtracts after .* retrain with RLeaky, or with beta=1"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_another_reset_is_refused_with_its_remedy(form: str) -> None:
    make, text = REFUSED[form]
    kind = form.split()[0]
    with pytest.raises(UnsupportedNode, match=f"^1: {kind} with reset_mechanism=.*, reset_delay=.* {text}"):
        to_nir(dense(make()), input_shape=(12,))


def _spikes_under_our_rule(net: nn.Sequential, x: torch.Tensor) -> np.ndarray:
    """The graph as if the first neuron had our rule: the same parameters, the check left out."""
    import neuroprivacy.export.snntorch_network as exporter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "_reset", lambda name, module: "hard" if int(module.reset_mechanism_val) else "soft")
        return of_graph(to_nir(net, input_shape=(12,)), x)


@pytest.mark.slow
@pytest.mark.parametrize("form", [f for f in REFUSED if f not in ("Leaky none", "RSynaptic zero")])
def test_what_is_refused_does_differ(form: str) -> None:
    last = leaky(1.0, **(HARD if "late" in form else SOFT))
    nets = [driven(dense(REFUSED[form][0](), last), seed, scale=6.0) for seed in range(3)]
    found = [
        (_spikes_under_our_rule(net, spikes_in(0, (12,))) != stepped(net, spikes_in(0, (12,)))).sum() for net in nets
    ]
    assert sum(found) > 0


def test_rsynaptic_without_delay_is_broken_in_snntorch() -> None:
    net = driven(dense(rsynaptic(**HARD)), 0)
    with pytest.raises((TypeError, UnboundLocalError)):
        net(spikes_in(0, (12,))[0])


def test_rsynaptic_without_delay_resets_late_where_states_are_passed() -> None:
    early, late = rsynaptic(beta=0.9, init_hidden=False, **HARD), rsynaptic(beta=0.9, init_hidden=False, **LATE)
    late.load_state_dict(early.state_dict())
    first = second = (torch.zeros(2, 10),) * 3
    with torch.no_grad():
        for current in torch.rand(20, 2, 10, generator=torch.Generator().manual_seed(0)) * 2:
            first, second = early(current, *first), late(current, *second)
            assert torch.equal(first[2], second[2])
    assert (first[2] > 3).any(), "a membrane above the threshold stays where it is"


@pytest.mark.slow
@pytest.mark.parametrize("dt_s", [1e-4, 3e-4, 7e-4, 1e-3])
@pytest.mark.parametrize(
    ("beta", "options"), [(1.0, HARD), (1.0, LATE), (1.0, SOFT), (0.5, HARD), (0.75, HARD), (0.875, LATE), (0.0, HARD)]
)
def test_a_sum_that_equals_the_threshold_does_not_fire(beta: float, options: dict[str, Any], dt_s: float) -> None:
    """Weights on a grid of eighths, decays in halves: sums are exact and meet the threshold often."""
    for seed in range(3):
        net = dense(leaky(beta, **options), leaky(beta, **options)).double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(torch.randint(-3, 5, parameter.shape, generator=generator) / 8)
        x = spikes_in(seed, (12,))
        np.testing.assert_array_equal(of_graph(to_nir(net, input_shape=(12,), dt_s=dt_s), x), stepped(net, x))


def test_snntorch_reads_our_graph_of_its_network(tmp_path: Path) -> None:
    from snntorch.import_nir import import_from_nir

    net = driven(dense(leaky(), leaky(0.8)), 0).float()
    graph = load_nir(save_nir(to_nir(net, input_shape=(12,)), tmp_path / "a.nir"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = import_from_nir(graph)
    x, state, found = spikes_in(0, (12,)).float(), None, []
    with torch.no_grad():
        for step in x:
            out, state = theirs(step, state)
            found.append(out)
    np.testing.assert_array_equal(torch.stack(found).numpy(), stepped(net, x))


def test_a_changed_mechanism_is_refused() -> None:
    net = perceptron()
    net[1].reset_mechanism = "subtract"
    with pytest.raises(UnsupportedNode, match='1: its reset_mechanism was changed to "subtract" after it was made'):
        to_nir(net, input_shape=(12,))


def test_one_rule_for_all_neurons() -> None:
    net = dense(leaky(), leaky(1.0, **SOFT))
    with pytest.raises(
        UnsupportedNode, match="3: subtracts its threshold while 1 resets to zero; give all neurons one"
    ):
        to_nir(net, input_shape=(12,))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: leaky(inhibition=True), "inhibition has no NIR form"),
        (lambda: leaky(state_quant=torch.round), "state_quant rounds to levels"),
        (lambda: leaky(graded_spikes_factor=2.0), "graded_spikes_factor is not 1; multiply the weights behind it"),
        (lambda: leaky(threshold=-1.0), r"threshold \(-1\) is not positive"),
        (lambda: leaky(threshold=torch.ones(3)), r"threshold has the shape \(3,\), its neurons \(10,\)"),
        (lambda: leaky(init_hidden=False), "2: reads 1, which returns its states, too; give that init_hidden=True"),
        (lambda: synaptic(alpha=1.0), "alpha is 1, a synaptic current that never decays"),
        (lambda: rleaky(features=10, linear_features=7), "linear_features is 7"),
        (
            lambda: snn.Lapicque(beta=0.9, init_hidden=True),
            "the neuron Lapicque has no NIR form here; use Leaky, RLeaky",
        ),
        (lambda: nn.ReLU(), "1: ReLU sends real values, a chip sends spikes; put neurons in its place"),
        (lambda: nn.Flatten(0), "does not take|flattens some dimensions"),
    ],
)
def test_what_has_no_form_is_refused_by_name(layer: Callable[[], nn.Module], text: str) -> None:
    with pytest.raises(UnsupportedNode, match=text):
        to_nir(dense(layer()), input_shape=(12,))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.MaxPool2d(2), "1: MaxPool2d has no spiking form; replace max pooling by average pooling and retrain"),
        (nn.AvgPool2d(2, ceil_mode=True), "1: ceil_mode, divisor_override"),
        (nn.AvgPool2d(2, padding=1, count_include_pad=False), "1: ceil_mode, divisor_override"),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "1: padding_mode 'circular' has no form; use zeros"),
        (nn.Linear(8, 4), "1: Linear reads values of shape .2, 8, 8.; put nn.Flatten"),
        (nn.Conv2d(3, 2, 3), "1: does not take values of shape"),
        (nn.Flatten(2), "1: flattens some dimensions only"),
    ],
)
def test_layers_of_images_are_refused_by_name(layer: nn.Module, text: str) -> None:
    with pytest.raises(UnsupportedNode, match=text):
        to_nir(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), layer, leaky()), input_shape=(2, 8, 8))


class Stepwise(nn.Module):
    """A tutorial's network: states are passed in and returned; two branches join; one view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.lif0 = leaky(init_hidden=False)
        self.fc1, self.skip, self.fc2 = nn.Linear(48, 10), nn.Linear(16, 10), nn.Linear(10, 10)
        self.syn1 = synaptic(init_hidden=False)
        self.lif2 = rleaky(init_hidden=False)
        self.fc3, self.lif3 = nn.Linear(10, 5), leaky(0.8, threshold=0.3)

    def forward(
        self, x: Any, mem0: Any = None, syn1: Any = None, mem1: Any = None, spk2: Any = None, mem2: Any = None
    ) -> Any:
        spk0, mem0 = self.lif0(self.conv(x), mem0)
        joined = self.fc1(spk0.view(x.size(0), -1)) + self.skip(torch.flatten(x, 1))
        spk1, syn1, mem1 = self.syn1(joined, syn1, mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), spk2, mem2)
        return self.lif3(self.fc3(spk1 + spk2)), (mem0, syn1, mem1, spk2, mem2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_module_of_its_own_is_traced(seed: int) -> None:
    net, x = driven(Stepwise(), seed), spikes_in(seed, (1, 4, 4))
    states: tuple[Any, ...] = ()
    expected = []
    net.lif3.reset_mem()
    with torch.no_grad():
        for step in x:
            out, states = net(step, *states)
            expected.append(out)
    graph = to_nir(net, input_shape=(1, 4, 4))
    found = of_graph(graph, x)
    assert torch.stack(expected).mean() > 0.02
    np.testing.assert_array_equal(found, torch.stack(expected).numpy())


def with_norms() -> nn.Sequential:
    features = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), leaky(), nn.AvgPool2d(2))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6, affine=False), leaky(0.7))


@pytest.mark.parametrize("seed", range(3))
def test_batch_norm_is_folded(seed: int) -> None:
    """Folded weights are rounded to single precision: a membrane that all but equals θ may fall the other way."""
    net = driven(with_norms(), seed, 4.0)
    with torch.no_grad():
        for norm in (net[0][1], net[3]):
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.3, 0.6)
        net[0][1].weight.uniform_(-0.2, 1.5)
        net[0][1].bias.uniform_(0, 0.3)
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    graph = to_nir(net, input_shape=(2, 8, 8))
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in kept.items())
    assert [type(node).__name__ for node in graph.nodes.values()] == [
        "Input", "Conv2d", "LIF", "AvgPool2d", "Flatten", "Affine", "LIF", "Output",
    ]  # fmt: skip
    x = spikes_in(seed, (2, 8, 8))
    expected = stepped(net, x)
    assert 0.01 < expected.mean() < 0.95
    assert (of_graph(graph, x) != expected).mean() < 0.001


class Shared(nn.Module):
    """A convolution whose values are read before and behind its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm, self.lif = nn.Linear(4, 4), nn.BatchNorm1d(4), leaky()

    def forward(self, x: Any) -> Any:
        x = self.fc(x)
        return self.lif(self.norm(x) + x)


def test_batch_norm_that_cannot_be_folded_is_refused() -> None:
    from brevitas.nn import QuantLinear

    text = "norm: batch norm does not follow a convolution or linear layer of its own; it cannot be folded"
    with pytest.raises(UnsupportedNode, match=text):
        to_nir(Shared(), input_shape=(4,))
    with pytest.raises(UnsupportedNode, match="2: batch norm does not follow"):
        to_nir(nn.Sequential(nn.Linear(4, 4), leaky(), nn.BatchNorm1d(4)), input_shape=(4,))
    without = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False), leaky())
    with pytest.raises(UnsupportedNode, match="1: has no running statistics"):
        to_nir(without, input_shape=(4,))
    with pytest.raises(UnsupportedNode, match="1: batch norm would change the quantized weights before it"):
        to_nir(nn.Sequential(QuantLinear(4, 4, bias=True), nn.BatchNorm1d(4), leaky()), input_shape=(4,))


class Heads(nn.Module):
    """Two ends, and hidden spikes that are returned for the record."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(4, 6), leaky()
        self.left, self.right = (nn.Sequential(nn.Linear(6, n), leaky()) for n in (2, 3))

    def forward(self, x: Any) -> Any:
        hidden = self.lif(self.fc(x))
        return {"hidden": hidden, "ends": [self.left(hidden), self.right(hidden)]}


def test_returned_spikes_of_last_layers_are_outputs() -> None:
    graph = to_nir(Heads(), input_shape=(4,))
    ends = {n: tuple(node.output_type["output"]) for n, node in graph.nodes.items() if n.startswith("output")}
    assert ends == {"output_left_1": (2,), "output_right_1": (3,)}
    assert lower(graph, target="loihi2").program.outputs == ("left_1", "right_1")


def test_states_lead_to_no_output() -> None:
    graph = to_nir(Stepwise(), input_shape=(1, 4, 4))
    assert [s for s, t in graph.edges if t == "output"] == ["lif3"]
    assert ("lif2_recurrent", "lif2") in graph.edges
    assert {s for s, t in graph.edges if t == "fc3"} == {"syn1", "lif2"}


class Forward(nn.Module):
    """A forward given from outside."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.fc, self.lif, self.other, self.given = nn.Linear(4, 4), leaky(init_hidden=False), leaky(), forward
        self.mem: Any = None

    def forward(self, x: Any, mem: Any = None) -> Any:
        return self.given(self, x, mem)


def looped(net: Any, x: Any, _: Any) -> Any:
    mem = net.lif.reset_mem()
    for _i in range(3):
        spk, mem = net.lif(net.fc(x), mem)
    return spk


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (looped, "lif: is called more than once in one forward; give a module whose forward is one time step"),
        (lambda n, x, m: n.lif(n.fc(x), m)[1], "lif: only its state is returned; return its spikes"),
        (lambda n, x, m: n.other(n.lif(n.fc(x), m)[1]), "other: computes with a state of lif; only spikes and"),
        (lambda n, x, m: n.other(n.fc(x) + m), "add: computes with an argument of the forward"),
        (lambda n, x, m: n.other(n.fc(x) * 2), "mul: has no spiking form .*; put the factor into the weights"),
        (lambda n, x, m: n.other(n.fc(x) + 1), "add: takes a constant .*; put it into the weights or a bias"),
        (
            lambda n, x, m: n.other(torch.relu(n.fc(x))),
            "relu: ReLU sends real values, a chip sends spikes; put neurons in its place",
        ),
        (lambda n, x, m: n.other(n.fc(x).view(2, -1, 2)), "view: reshapes to something other than"),
        (lambda n, x, m: n.lif(n.fc(x), n.fc(x)), "lif: takes a state that is computed in the same step"),
        (lambda n, x, m: n.lif(n.fc(x), torch.ones(1, 4)), "lif: "),
        (lambda n, x, m: n.other(n.fc(x)) if x.sum() > 0 else x, "Forward: its forward cannot be traced"),
        (lambda n, x, m: (n.other(n.fc(x)), n.fc(x)), "fc_2: its currents are returned beside the spikes of other"),
        (lambda n, x, m: x, "output: the input is returned"),
        (lambda n, x, m: None, "output: the forward returns neither spikes nor currents"),
    ],
)
def test_forwards_that_no_graph_says_are_refused(forward: Callable[..., Any], text: str) -> None:
    with pytest.raises(UnsupportedNode, match=text):
        to_nir(Forward(forward), input_shape=(4,))


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_one_thing_with_itself_are_written(seed: int) -> None:
    """The input twice, and spikes twice: NIR has one edge between two nodes, so a Scale by one stands between."""
    net = driven(Forward(lambda n, x, m: n.other(n.fc(n.lif(x + x)) + x)), seed)
    net.lif.init_hidden = True
    x = spikes_in(seed, (4,))
    expected = stepped(net, x)
    assert 0.01 < expected.mean() < 0.95
    assert (of_graph(to_nir(net, input_shape=(4,)), x) == expected).all()


def test_a_returned_sum_is_read_behind_a_scale() -> None:
    net = Forward(lambda n, x, m: n.fc(n.other(x)) + n.fc(x))
    graph = to_nir(net, input_shape=(4,))
    (end,) = [source for source, target in graph.edges if target == "output"]
    assert isinstance(graph.nodes[end], nir.Scale)
    assert {source for source, target in graph.edges if target == end} == {"fc", "fc_2"}


def test_the_module_is_left_as_it_was() -> None:
    def stores(net: Any, x: Any, mem: Any) -> Any:
        spk, net.mem = net.lif(net.fc(x), net.lif.reset_mem())
        return spk

    net = Forward(stores)
    net.lif(torch.ones(2, 4))
    kept = net.lif.mem.clone()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    graph = to_nir(net, input_shape=(4,))
    assert list(graph.nodes) == ["input", "fc", "lif", "output"]
    assert kept.any()
    assert torch.equal(net.lif.mem, kept)
    assert net.mem is None
    assert net.training
    assert not [name for name in vars(net) if "constant" in name]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_linear_end_is_read_as_a_sum() -> None:
    graph = to_nir(nn.Sequential(nn.Linear(4, 6), leaky(), nn.Linear(6, 3)), input_shape=(4,), dt_s=1e-3)
    info = read_info(graph)
    assert (info.readout, info.readout_beta, info.dt_s, info.reset) == ("membrane", 1.0, 1e-3, "hard")
    assert lower(graph, target="loihi2", options=LowerOptions(time_steps=20)).program.readout == "membrane"


def test_the_last_neuron_may_return_its_state() -> None:
    graph = to_nir(dense(leaky(), leaky(output=True)), input_shape=(12,))
    assert [type(graph.nodes[n]).__name__ for n in ("0", "1", "2", "3")] == ["Affine", "LIF", "Affine", "LIF"]
    assert graph.nodes["1"].tau.shape == (10,)


def test_quantized_weights_keep_their_unit() -> None:
    from brevitas.nn import QuantConv2d, QuantLinear

    net = nn.Sequential(
        QuantConv2d(1, 2, 3, padding=1, weight_bit_width=4), leaky(), nn.Flatten(),
        QuantLinear(32, 3, bias=False, weight_bit_width=4), leaky(),
    )  # fmt: skip
    graph = to_nir(net, input_shape=(1, 4, 4))
    for name in ("0", "3"):
        units = graph.nodes[name].weight / graph.nodes[name].metadata[WEIGHT_SCALE]
        np.testing.assert_allclose(units, np.round(units), atol=1e-4)
        assert abs(units).max() <= 7.001


def test_quantized_activations_are_refused() -> None:
    from brevitas.nn import QuantLinear
    from brevitas.quant import Int8ActPerTensorFloat

    net = nn.Sequential(QuantLinear(4, 3, bias=False, output_quant=Int8ActPerTensorFloat), leaky())
    with pytest.raises(UnsupportedNode, match="0: output_quant is on; quantized weights are taken over"):
        to_nir(net, input_shape=(4,))


def test_the_shape_has_to_be_given() -> None:
    with pytest.raises(ConfigurationError, match="input shape: this network does not state it"):
        to_nir(perceptron())
    with pytest.raises(ConfigurationError, match="dt: 0 s is not a positive time step"):
        to_nir(perceptron(), input_shape=(12,), dt_s=0)
