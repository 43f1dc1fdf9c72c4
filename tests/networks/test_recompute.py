"""Parts that are computed twice: the same numbers, in less memory."""

import math

import pytest
import torch
from torch import Tensor, nn

from neuroprivacy.networks import (
    SpikingNetwork,
    SpikingSpec,
    build_snn,
    model_spec,
    quantize_weights,
    recompute,
    spiking_input,
)

STEPS = 12


def make(*, quantized: bool = False, **fields: object) -> SpikingNetwork:
    torch.manual_seed(3)
    model = model_spec("convnet", input_shape=(1, 8, 8), classes=3, hidden=(12,), width=0.25, bias=True, dropout=0.5)
    net = build_snn(model, SpikingSpec(time_steps=STEPS, **fields))
    with torch.no_grad():
        for neuron in net.neurons().values():
            neuron.threshold.fill_(0.3)
    return (quantize_weights(net, 4, state_target="loihi2") if quantized else net).train()


def trained(net: SpikingNetwork, *, again: bool | None, x: Tensor) -> tuple[Tensor, list[Tensor | None], int]:
    """Readout, gradients, and the bytes that a forward pass keeps."""
    net.recompute = again
    net.zero_grad()
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        if not any(tensor is p for p in net.parameters()):
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(7)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        readout = net(x).readout
    (readout * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
    return readout.detach(), [p.grad for p in net.parameters()], sum(kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("fields", [
    {"coding": "direct"}, {"coding": "poisson", "reset": "soft", "beta": 0.9}, {"coding": "direct", "quantized": True},
    {"coding": "poisson", "schedule": "chip"}, {"coding": "poisson", "readout": "spike_count"},
])  # fmt: skip
def test_readout_and_gradients_are_the_same_to_the_bit(fields: dict[str, object]) -> None:
    net = make(**fields)  # type: ignore[arg-type]
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    x = spiking_input(images, spec=net.spec, generator=torch.Generator().manual_seed(2))
    wanted, gradients, much = trained(net, again=False, x=x)
    readout, found, little = trained(net, again=True, x=x)
    assert torch.equal(readout, wanted)
    for a, b in zip(found, gradients, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (b is not None and torch.equal(a, b) and a.any())
    assert little < much / 2.5


@pytest.mark.parametrize("coding", ["direct", "poisson"])
def test_slices_of_the_batch_give_the_same(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make(coding=coding).eval()
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    x = spiking_input(images, spec=net.spec, generator=torch.Generator().manual_seed(2)).requires_grad_()
    wanted, gradients, _ = trained(net, again=False, x=x)
    of_x, x.grad = x.grad, None
    monkeypatch.setattr(recompute, "SLICE_BYTES", 4 * STEPS * 2 * 256)  # two samples of the first layer
    readout, found, _ = trained(net, again=True, x=x)
    torch.testing.assert_close(readout, wanted)
    torch.testing.assert_close(found, gradients)
    torch.testing.assert_close(x.grad, of_x)


def test_the_input_gets_its_gradient() -> None:
    net, found = make(coding="direct").eval(), []
    for again in (False, True):
        x = torch.rand(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        net.recompute = again
        net(x).readout.sum().backward()
        found.append(x.grad)
    assert torch.equal(*found)  # type: ignore[arg-type]


def test_masks_of_dropout_are_the_same_twice_and_the_generator_moves_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "SLICE_BYTES", 2 * 4 * 8)  # two samples
    drop, x = nn.Dropout(0.5).train(), torch.rand(3, 5, 8, requires_grad=True)
    torch.manual_seed(7)
    result = recompute.recomputed(lambda part: drop(part) * 3, [x], modules=[drop], spikes=[False], values=8)
    state = torch.get_rng_state()
    (found,) = torch.autograd.grad(result.sum(), x)
    torch.testing.assert_close(found, result / x)  # the mask, times six
    assert set(found.unique().tolist()) == {0.0, 6.0}
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_chosen_where_a_pass_keeps_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = make(coding="direct"), torch.rand(1, 4, 1, 8, 8)
    before = torch.get_rng_state()
    assert not net._recomputes(x)
    assert torch.equal(torch.get_rng_state(), before)  # shapes alone were computed
    neurons = sum(each[0, 0].numel() for each in net(x, record=True).spikes.values())
    monkeypatch.setattr(recompute, "CPU_BYTES", 8 * neurons * STEPS * 4)
    assert not net._recomputes(x)
    monkeypatch.setattr(recompute, "CPU_BYTES", 8 * neurons * STEPS * 4 - 1)
    assert net._recomputes(x)
    assert trained(net, again=None, x=x)[2] == trained(net, again=True, x=x)[2]


@pytest.mark.parametrize("family", ["mlp", "convnet", "vgg5", "vgg16"])
def test_sizes_are_those_of_the_layers(family: str) -> None:
    shape = (2, 32, 32) if family != "mlp" else (7,)
    model = model_spec(family, input_shape=shape, classes=3, width=0.1)
    net = build_snn(model, SpikingSpec(time_steps=2, coding="direct", readout="spike_count"))
    spikes = net(torch.rand(1, 1, *shape), record=True).spikes
    sizes = [math.prod(node.shape) for node in net.nodes if node.kind == "neuron"]
    assert sizes == [each[0, 0].numel() for each in spikes.values()]
