"""The torch form of the integer neuron: forward to the bit, backward the leaky neuron's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprivacy.kernels import fire_and_reset, integrate_current, integrate_membrane
from neuroprivacy.networks import Surrogate
from neuroprivacy.networks.integer_scan import IntegerNeuron, integer_scan
from neuroprivacy.targets.spec import load_target

TARGETS = {name: load_target(name) for name in ("loihi2", "loihi2-soft", "int8")}
SURROGATE = Surrogate()


def by_kernels(activation: np.ndarray, neuron: IntegerNeuron) -> np.ndarray:
    """The same with numpy's kernels, a step at a time."""
    u = v = np.zeros(activation.shape[1:], np.int64)
    spikes = []
    for a in activation:
        u, _ = integrate_current(u, a, du=neuron.du, rule=neuron.rule)
        v, _ = integrate_membrane(v, u, dv=neuron.dv, bias=np.asarray(neuron.bias), rule=neuron.rule)
        z, v = fire_and_reset(
            v,
            threshold=np.int64(neuron.threshold),
            reset="soft" if neuron.soft else "hard",
            fires=True,
            rule=neuron.rule,
        )
        spikes.append(z)
    return np.stack(spikes)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(TARGETS)),
    seed=st.integers(0, 2**32 - 1),
    top=st.sampled_from([3, 300, 30_000, 131_000]),
    threshold=st.integers(1, 60_000),
    du=st.sampled_from([4095, 0, 40, 2000]),
    dv=st.sampled_from([0, 1, 300, 4095]),
    biased=st.booleans(),
    soft=st.booleans(),
)
def test_forward_equals_the_integer_kernels(
    name: str, seed: int, top: int, threshold: int, du: int, dv: int, biased: bool, soft: bool
) -> None:
    rng = np.random.default_rng(seed)
    activation = rng.integers(-top // 2, top + 1, (25, 3, 7))
    bias = rng.integers(-900, 900, 7) if biased else np.zeros(7, np.int64)
    neuron = IntegerNeuron(
        rule=TARGETS[name].rule, threshold=threshold, du=du, dv=dv, bias=torch.from_numpy(bias), soft=soft
    )
    got = integer_scan(torch.from_numpy(activation.astype(np.float32)), neuron, derivative=SURROGATE.derivative)
    np.testing.assert_array_equal(got.numpy(), by_kernels(activation, neuron))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("du", "dv"), [(4095, 0), (4095, 400), (1500, 400)])
def test_backward_is_that_of_the_float_neuron(soft: bool, du: int, dv: int) -> None:
    """Against autograd through a plain loop with the reset detached, on values without rounding to speak of."""
    torch.manual_seed(0)
    rule = TARGETS["loihi2-soft"].rule
    neuron = IntegerNeuron(rule=rule, threshold=20_000, du=du, dv=dv, soft=soft)
    alpha, beta = (4096 - du - 1) / 4096, 1 - dv / 4096
    x = torch.randint(-4_000, 9_000, (12, 5)).double()
    weight = torch.randn(12, 5, dtype=torch.float64)

    def slope(v: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """A smooth surrogate."""
        return 1 / (1 + ((v - theta) / 5_000) ** 2)

    class Step(torch.autograd.Function):
        """A step with that derivative."""

        @staticmethod
        def forward(ctx, v):
            ctx.save_for_backward(v)
            return (v > 20_000).double()

        @staticmethod
        def backward(ctx, gradient):
            (v,) = ctx.saved_tensors
            return gradient * slope(v, torch.tensor(20_000.0))

    ours, loop = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    (integer_scan(ours, neuron, derivative=slope) * weight).sum().backward()
    u = v = torch.zeros(5, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for t in range(12):
        u = alpha * u + loop[t]
        v = beta * v + u
        z = Step.apply(v)
        total = total + (z * weight[t]).sum()
        v = v - 20_000 * z.detach() if soft else v * (1 - z.detach())
    total.backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, loop.grad, rtol=2e-3, atol=2e-3)
