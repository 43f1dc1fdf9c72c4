"""The float neuron: against snnTorch where they agree, and where they do not; and its gradient by plain autograd."""

import itertools

import pytest
import snntorch
import torch
from torch import Tensor

from neuroprivacy.networks import SpikingNeuron, Surrogate
from neuroprivacy.networks import scan as scan_module
from neuroprivacy.networks.compiled_scan import is_compiled
from neuroprivacy.networks.scan import scan
from neuroprivacy.networks.surrogate import surrogate_names

CURRENTS = torch.randn(60, 4, 9, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
THRESHOLD = 0.8
BETAS = [0.5, 0.9, 0.97, 1.0]


def snntorch_spikes(current: Tensor, *, beta: float, reset: str, delayed: bool) -> Tensor:
    neuron = snntorch.Leaky(
        beta=beta, threshold=THRESHOLD, reset_mechanism=reset, reset_delay=delayed, learn_beta=False
    )
    v = neuron.init_leaky()
    found = []
    for step in current:
        spike, v = neuron(step, v)
        found.append(spike)
    return torch.stack(found)


def our_spikes(current: Tensor, *, beta: float, reset: str) -> Tensor:
    return SpikingNeuron(threshold=THRESHOLD, beta=beta, reset=reset)(current)


@pytest.mark.parametrize("beta", BETAS)
def test_hard_reset_is_snntorchs_zero_without_delay(beta: float) -> None:
    ours = our_spikes(CURRENTS, beta=beta, reset="hard")
    assert 0.05 < ours.mean() < 0.6
    assert torch.equal(ours, snntorch_spikes(CURRENTS, beta=beta, reset="zero", delayed=False))


def test_soft_reset_is_snntorchs_delayed_subtract_only_without_leak() -> None:
    ours = our_spikes(CURRENTS, beta=1.0, reset="soft")
    assert torch.equal(ours, snntorch_spikes(CURRENTS, beta=1.0, reset="subtract", delayed=True))


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.97])
def test_soft_reset_with_leak_is_not_snntorchs(beta: float) -> None:
    """snnTorch: beta*v - threshold; the chip: beta*(v - threshold)."""
    ours = our_spikes(CURRENTS, beta=beta, reset="soft")
    assert not torch.equal(ours, snntorch_spikes(CURRENTS, beta=beta, reset="subtract", delayed=True))
    current = torch.tensor([1.0, 0.45, 0.0]).view(-1, 1, 1)
    v, neuron = [], snntorch.Leaky(beta=beta, threshold=0.8, reset_mechanism="subtract", reset_delay=True)
    state = neuron.init_leaky()
    for step in current:
        _, state = neuron(step, state)
        v.append(float(state))
    assert v[1] == pytest.approx(beta * 1.0 + 0.45 - 0.8)  # we: beta * (1.0 - 0.8) + 0.45


def test_soft_reset_without_delay_never_spends_a_stored_surplus_in_snntorch() -> None:
    current = torch.tensor([2.1, 0.0, 0.0, 0.0]).view(-1, 1, 1)
    assert our_spikes(current, beta=1.0, reset="soft").flatten().tolist() == [1, 1, 0, 0]
    assert snntorch_spikes(current, beta=1.0, reset="subtract", delayed=False).flatten().tolist() == [1, 0, 0, 0]


def test_a_membrane_at_the_threshold_does_not_fire() -> None:
    neuron = SpikingNeuron(threshold=1.0)
    assert neuron(torch.tensor([1.0, 0.0, 2.0**-20]).view(-1, 1)).flatten().tolist() == [0, 0, 1]


def test_at_most_one_spike_a_step() -> None:
    spikes = our_spikes(torch.full((3, 1), 5.0), beta=1.0, reset="soft")
    assert spikes.flatten().tolist() == [1, 1, 1]


class _Spike(torch.autograd.Function):
    """A step with a surrogate gradient for membrane and threshold, as frameworks write it."""

    @staticmethod
    def forward(ctx, v: Tensor, theta: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(v, theta)
        ctx.surrogate = surrogate
        return (v > theta).to(v.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        v, theta = ctx.saved_tensors
        slope = grad * ctx.surrogate.derivative(v, theta)
        return slope, -slope.sum(), None


def plain_autograd(
    current: Tensor, theta: Tensor, beta: float, reset: str, surrogate: Surrogate, detach: bool
) -> Tensor:
    """The definition, a step at a time, differentiated by torch."""
    v = torch.zeros_like(current[0])
    spikes = []
    for step in current:
        v = beta * v + step
        spike = _Spike.apply(v, theta, surrogate)
        held = spike.detach() if detach else spike
        v = v - theta * held if reset == "soft" else v * (1 - held)
        spikes.append(spike)
    return torch.stack(spikes)


@pytest.mark.parametrize("name", ["privatesnn", "atan", "triangular"])
@pytest.mark.parametrize(
    ("reset", "detach", "beta"), list(itertools.product(["hard", "soft"], [True, False], [1.0, 0.8]))
)
def test_the_gradient_is_that_of_plain_autograd(reset: str, detach: bool, beta: float, name: str) -> None:
    weights = torch.randn(CURRENTS.shape, generator=torch.Generator().manual_seed(2)).double()
    gradients = []
    for make in (scan, plain_autograd):
        current = CURRENTS.double().clone().requires_grad_(True)
        theta = torch.tensor(THRESHOLD, dtype=torch.float64, requires_grad=True)
        surrogate = Surrogate(name=name, scale=0.3)
        if make is scan:
            spikes = scan(current, threshold=theta, beta=beta, reset=reset, surrogate=surrogate, detach_reset=detach)
        else:
            spikes = plain_autograd(current, theta, beta, reset, surrogate, detach)
        (spikes * weights).sum().backward()
        gradients.append((spikes.detach(), current.grad, theta.grad))
    ours, torchs = gradients
    assert torch.equal(ours[0], torchs[0])
    assert ours[1].abs().max() > 0.01
    torch.testing.assert_close(ours[1], torchs[1], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(ours[2], torchs[2], rtol=1e-5, atol=1e-6)


def test_a_learnt_threshold_gets_its_gradient_and_a_fixed_one_is_a_buffer() -> None:
    learnt = SpikingNeuron(threshold=THRESHOLD, learn_threshold=True)
    learnt(CURRENTS).sum().backward()
    assert learnt.threshold.grad is not None
    assert float(learnt.threshold.grad) != 0
    fixed = SpikingNeuron(threshold=THRESHOLD)
    assert not list(fixed.parameters())
    assert list(fixed.state_dict()) == ["threshold"]


@pytest.mark.slow
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", surrogate_names())
def test_the_compiled_scan_gives_what_torch_gives(
    name: str, reset: str, detach: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More neurons than a tile and than a thread's least share; another memory order; a scale; the threshold too."""
    generator = torch.Generator().manual_seed(3)
    current = torch.randn(7, 2, 3, 70, 100, generator=generator) * 0.6 + 0.2
    given = torch.randn(7, 2, 70, 100, 3, generator=generator).permute(0, 1, 4, 2, 3)
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(scan_module, "is_compiled", lambda *_: False)
        x = current.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3).requires_grad_()
        threshold = torch.tensor(THRESHOLD, requires_grad=True)
        spikes = scan(
            x, threshold=threshold, beta=0.9, reset=reset, surrogate=Surrogate(name=name, scale=1.7),
            detach_reset=detach,
        )  # fmt: skip
        spikes.backward(given)
        found.append((spikes, x.grad, threshold.grad))
    (spikes, of_x, of_theta), (wanted, wanted_x, wanted_theta) = found
    assert torch.equal(spikes, wanted)
    # Through its own resets a surrogate of 42 multiplies rounding errors step after step.
    steep = name == "spike_rate_escape" and not detach
    torch.testing.assert_close(of_x, wanted_x, rtol=1e-2 if steep else 1e-4, atol=1e-5)
    torch.testing.assert_close(of_theta, wanted_theta, rtol=1e-2 if steep else 1e-3, atol=1e-2)


def test_other_types_and_surrogates_take_torchs_form() -> None:
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    SpikingNeuron()(x).sum().backward()
    assert x.grad is not None
    assert not is_compiled(x, Surrogate())
    assert not is_compiled(x.float(), Surrogate(name="snntorch:SFS"))
    assert is_compiled(x.float(), Surrogate())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["privatesnn", "snntorch:atan"])
@pytest.mark.parametrize("learn", [False, True])
def test_torch_func_gives_the_gradients_of_each_sample(name: str, learn: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    current = torch.rand(6, 3, 5, generator=generator) + 0.3

    def loss(factor: torch.Tensor, threshold: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        spikes = scan(
            given * factor, threshold=threshold, beta=0.9, reset="soft", surrogate=Surrogate(name=name),
            detach_reset=False,
        )  # fmt: skip
        return (spikes * torch.arange(5.0)).sum()

    of = (0, 1) if learn else 0
    factor, threshold = torch.tensor(1.1), torch.tensor(THRESHOLD)
    found = torch.func.vmap(torch.func.grad(loss, argnums=of), in_dims=(None, None, 1))(factor, threshold, current)
    for i in range(3):
        given = [each.clone().requires_grad_() for each in (factor, threshold)]
        wanted = torch.autograd.grad(loss(*given, current[:, i]), given)
        got = [each[i] for each in found] if learn else [found[i]]
        torch.testing.assert_close(got, list(wanted)[: len(got)], rtol=1e-4, atol=1e-5)
        assert wanted[0] != 0


def test_a_threshold_for_each_sample_can_be_mapped() -> None:
    current, thresholds = torch.rand(6, 5), torch.tensor([0.5, 0.9])

    def spikes(threshold: torch.Tensor) -> torch.Tensor:
        return scan(current, threshold=threshold, beta=0.9, reset="hard", surrogate=Surrogate())

    found = torch.func.vmap(spikes)(thresholds)
    assert torch.equal(found, torch.stack([spikes(each) for each in thresholds]))


def test_a_spike_has_no_second_derivative() -> None:
    current = torch.rand(6, 5, requires_grad=True)
    (first,) = torch.autograd.grad(SpikingNeuron()(current).sum() ** 2, current, create_graph=True)
    with pytest.raises(NotImplementedError, match="no derivative of its own"):
        first.sum().backward()


@pytest.mark.parametrize("learn", [False, True])
def test_torch_func_takes_thresholds_that_differ_by_neuron(learn: bool) -> None:
    """The gradients of each sample, with respect to its current and to learned thresholds, are those of autograd."""
    neuron = SpikingNeuron(threshold=torch.rand(5) + 0.2, alpha=0.3, beta=torch.rand(5), learn_threshold=learn)
    currents, weights = torch.rand(3, 6, 1, 5), torch.rand(6, 1, 5)

    def loss(threshold: Tensor, current: Tensor) -> Tensor:
        spikes = torch.func.functional_call(neuron, {"threshold": threshold}, (current,))
        return (spikes * weights).sum() ** 2

    theta = neuron.threshold.detach()
    of = (0, 1) if learn else 1
    found = torch.func.vmap(torch.func.grad(loss, argnums=of), in_dims=(None, 0))(theta, currents)
    for i, current in enumerate(currents):
        inputs = [theta.clone().requires_grad_(True), current.clone().requires_grad_(True)]
        wanted = torch.autograd.grad(loss(*inputs), inputs)
        torch.testing.assert_close(
            [each[i] for each in found] if learn else [found[i]], list(wanted)[0 if learn else 1 :]
        )
        assert wanted[1].any()
