"""SpikingNetwork over time: against an explicit loop over steps, and under the chip's timing."""

import pytest
import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import SpikingNetwork, SpikingNeuron, SpikingSpec, build_snn, model_spec, spiking_input
from neuroprivacy.networks.spec import spec_from

STEPS = 9


def make(**fields: object) -> SpikingNetwork:
    """A small convolutional network whose neurons fire now and then."""
    bias = fields.pop("bias", False)
    model = model_spec(
        "convnet", input_shape=(1, 8, 8), classes=3, hidden=(12,), width=0.25, bias=bias,
        dropout=fields.pop("dropout", 0.0), signed_input=fields.get("coding") == "poisson-signed",
    )  # fmt: skip
    torch.manual_seed(3)
    net = build_snn(model, SpikingSpec(time_steps=STEPS, **fields)).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.15, 0.3)
        for neuron in net.neurons().values():
            neuron.threshold.fill_(0.7)
    return net


def spikes_in(batch: int = 5, steps: int = STEPS) -> Tensor:
    return (torch.rand(steps, batch, 1, 8, 8, generator=torch.Generator().manual_seed(4)) < 0.4).float()


def by_loop(net: SpikingNetwork, x: Tensor, *, late: int = 0) -> Tensor:
    """The network a step at a time, layer by layer; `late` steps of latency for each linear layer (the chip: 1)."""
    spec = net.spec
    modules = dict(net.layers.named_children())
    latency = late * sum(isinstance(m, nn.Conv2d | nn.Linear) for m in modules.values())
    membranes: dict[str, Tensor] = {}
    arriving: dict[str, list[Tensor]] = {name: [] for name in modules}
    counted, read = 0, torch.zeros(())
    with torch.no_grad():
        for t in range(len(x) + latency):
            value = x[t] if t < len(x) else torch.zeros_like(x[0])
            for name, module in modules.items():
                if isinstance(module, nn.Conv2d | nn.Linear) and late:
                    arriving[name].append(value)
                    value = module(arriving[name][-2] if t > 0 else torch.zeros_like(value))
                elif isinstance(module, SpikingNeuron):
                    v = spec.beta * membranes.get(name, torch.zeros_like(value)) + value
                    value = (v > module.threshold).float()
                    membranes[name] = v - module.threshold * value if spec.reset == "soft" else v * (1 - value)
                else:
                    value = module(value)
            if spec.readout == "membrane":
                read = spec.beta * read + value
            elif t >= latency:
                counted = counted + value
    return read if spec.readout == "membrane" else counted


CASES = [
    {"reset": reset, "beta": beta, "readout": readout, "bias": bias}
    for reset, beta in (("hard", 1.0), ("hard", 0.85), ("soft", 1.0), ("soft", 0.85))
    for readout in ("membrane", "spike_count")
    for bias in (False, True)
]


@pytest.mark.parametrize("fields", CASES)
def test_all_steps_at_once_equal_a_loop_over_steps(fields: dict) -> None:
    net = make(**fields)
    result = net(spikes_in(), record=True)
    assert all(0.01 < s.mean() < 0.9 for s in result.spikes.values())
    torch.testing.assert_close(result.readout, by_loop(net, spikes_in()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fields", CASES)
def test_the_chips_schedule_equals_a_loop_with_latency(fields: dict) -> None:
    net = make(**fields)
    found = net(spikes_in(), schedule="chip").readout
    torch.testing.assert_close(found, by_loop(net, spikes_in(), late=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fields", [c for c in CASES if not c["bias"]])
def test_without_biases_latency_changes_nothing(fields: dict) -> None:
    net = make(**fields)
    ideal, chip = (net(spikes_in(), schedule=schedule).readout for schedule in ("ideal", "chip"))
    torch.testing.assert_close(ideal, chip, rtol=1e-5, atol=1e-5)


def test_with_biases_latency_changes_the_answer() -> None:
    net = make(bias=True)
    assert not torch.allclose(net(spikes_in()).readout, net(spikes_in(), schedule="chip").readout, atol=0.05)


@pytest.mark.parametrize("schedule", ["ideal", "chip"])
@pytest.mark.parametrize("fields", CASES[:8:3])
def test_a_constant_input_equals_its_expansion(fields: dict, schedule: str) -> None:
    net = make(**fields, coding="direct")
    x = torch.rand(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(8))
    whole = x.expand(STEPS, *x.shape[1:])
    torch.testing.assert_close(
        net(x, schedule=schedule).readout, net(whole, schedule=schedule).readout, rtol=1e-5, atol=1e-5
    )


def test_one_dropout_mask_serves_all_steps() -> None:
    net = make(dropout=0.5).train()
    seen: list[Tensor] = []
    net.layers.out.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        for neuron in net.neurons().values():
            neuron.threshold.fill_(1e-6)  # nearly everything fires: zeros are the mask's
    torch.manual_seed(1)
    net(torch.ones(STEPS, 6, 1, 8, 8))
    values = seen[0].view(STEPS, 6, 12)
    spikes = net.eval()(torch.ones(STEPS, 6, 1, 8, 8), record=True).spikes["fcact1"]
    always = spikes.bool().all(0)
    assert always.sum() > 20
    dropped = (values == 0) & always
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert 0.2 < dropped[0][always].float().mean() < 0.8
    assert set(values[0][always].tolist()) == {0.0, 2.0}


def test_another_number_of_steps_keeps_weights_and_thresholds() -> None:
    net = make()
    longer = net.with_time_steps(STEPS + 4)
    assert longer.spec.time_steps == STEPS + 4
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), longer.state_dict().values(), strict=True))


def test_the_spec_survives_being_written_down() -> None:
    spec = make(reset="soft", beta=0.9, coding="poisson-signed").spec
    assert spec_from(spec.describe()) == spec


@pytest.mark.parametrize("coding", ["poisson", "poisson-signed"])
def test_training_input_has_the_encoders_distribution(coding: str) -> None:
    spec = make(coding=coding).spec
    x = torch.tensor([0.0, 0.2, 0.5, 0.7, 1.0]).repeat(4000, 1)
    drawn = spiking_input(x, spec=spec, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (STEPS, *x.shape)
    wanted = 2 * x[0] - 1 if coding == "poisson-signed" else x[0]
    torch.testing.assert_close(drawn.mean((0, 1)), wanted, atol=5 / (4000 * STEPS) ** 0.5, rtol=0)


def test_direct_training_input_is_rounded_with_a_straight_gradient() -> None:
    x = torch.rand(3, 7, requires_grad=True)
    given = spiking_input(x, spec=make(coding="direct").spec)
    assert given.shape == (1, 3, 7)
    torch.testing.assert_close(given[0].detach() * 255, (x.detach() * 255).round())
    given.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beta": 0.0}, r"beta: 0\.0 is not in \(0, 1\]"),
        ({"beta": 1.01}, "beta: 1.01"),
        ({"time_steps": 0}, "time steps: 0 is below 1"),
        ({"reset": "none"}, "reset 'none'"),
        ({"readout": "mean"}, "readout 'mean'"),
        ({"coding": "poisson-signed"}, "without signed input; train with --signed-input"),
        ({"surrogate": "relu"}, "surrogate: 'relu' is unknown"),
    ],
)
def test_impossible_specs_are_refused(fields: dict, message: str) -> None:
    model = model_spec("mlp", input_shape=(4,), classes=2)
    with pytest.raises(ConfigurationError, match=message):
        build_snn(model, SpikingSpec(**fields))


def test_batch_norm_must_be_folded_first() -> None:
    model = model_spec("convnet", input_shape=(1, 8, 8), classes=2, batch_norm=True)
    with pytest.raises(ConfigurationError, match="norm1: fold batch norm into the convolution"):
        build_snn(model, SpikingSpec())
