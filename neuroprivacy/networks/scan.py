"""The spiking neuron over all steps, and its gradient through time (STBP).

    v[t]   = β v[t-1] + I[t]
    s[t]   = v[t] > θ
    v[t]  := 0 where s (hard)   or   v[t] - θ where s (soft)

The whole scan over time is one autograd function: forward keeps the membrane before the reset, backward walks it in
reverse. Both take blocks of neurons through all steps while they lie in the cache; on the CPU in single precision they
are compiled (`compiled_scan`), which the torch form here defines. Source of the gradient: Wu et al. 2018 (STBP); Kim et
al. 2022, Eq. 4.

The gradient is a function of its own, and both know how to be mapped over samples, so that `torch.func` works: `grad`,
`vjp`, `jacrev`, and `vmap` of them (per-sample gradients). A spike has no second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.networks import compiled_scan
from neuroprivacy.networks.compiled_scan import is_compiled
from neuroprivacy.networks.integer_scan import blocks, flattened, like
from neuroprivacy.networks.surrogate import Surrogate


def scan(
    current: Tensor,
    *,
    threshold: Tensor,
    beta: float,
    reset: Reset,
    surrogate: Surrogate,
    detach_reset: bool = True,
) -> Tensor:
    """Spikes of a layer over all steps.

    Args:
        current: (T, batch, ...), input current of each step.
        threshold: scalar tensor, θ > 0.
        beta: membrane decay, 0 ... 1; 1 is integrate-and-fire.
        reset: "hard" or "soft".
        surrogate: for the backward pass.
        detach_reset: whether the reset is a constant to the gradient.

    Returns:
        (T, batch, ...), 0 or 1.
    """
    spikes: Tensor = _Scan.apply(current, threshold, beta, reset == "soft", surrogate, detach_reset)[0]  # type: ignore[no-untyped-call]
    return spikes


class _Scan(torch.autograd.Function):
    """The scan over time: current (T, ...) and threshold () -> spikes (T, ...), in blocks of neurons (`blocks`)."""

    @staticmethod
    def forward(
        current: Tensor, threshold: Tensor, beta: float, soft: bool, surrogate: Surrogate, detach_reset: bool
    ) -> tuple[Tensor, Tensor]:
        """Spikes and the membrane before each reset, both (T, ...)."""
        before, spikes = like(current), like(current)
        if is_compiled(current, surrogate):
            arrays = [each.numpy() for each in flattened(current, before, spikes)]
            compiled_scan.forward(*arrays, theta=float(threshold), beta=beta, soft=soft)
            return spikes, before
        for arrived, reached, fired in blocks(current, before, spikes):
            v = torch.zeros_like(arrived[0])
            for t in range(len(arrived)):
                torch.add(arrived[t], v, alpha=beta, out=reached[t])
                torch.gt(reached[t], threshold, out=fired[t])
                v = reached[t] - threshold * fired[t] if soft else reached[t] * (1 - fired[t])
        return spikes, before

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Store what the backward pass needs."""
        _, threshold, beta, soft, surrogate, detach_reset = inputs
        ctx.save_for_backward(output[1], threshold)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # or zeros are made for the membranes
        ctx.constants = (beta, soft, surrogate, detach_reset)

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        """Gradients with respect to the current and the threshold."""
        if grad_spikes is None:
            return (None,) * 6
        before, threshold = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1]
        of_current, of_threshold = _Gradient.apply(before, threshold, grad_spikes, *ctx.constants, wanted)  # type: ignore[no-untyped-call]
        return of_current, of_threshold if wanted else None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Any, Any]:
        """Many samples at once: another axis of neurons."""
        return _map_samples(_Scan.apply, info.batch_size, in_dims, given, along_time=(0,), apart=in_dims[1] is not None)


class _Gradient(torch.autograd.Function):
    """The scan's gradient: membranes before the reset, threshold, ∂L/∂spikes -> ∂L/∂current, ∂L/∂θ (0 if unwanted).

    With g[t] = ∂L/∂v[t] before the reset:  g[t] = β g[t+1] ∂v_after/∂v + ∂L/∂s[t] ∂s/∂v
    """

    @staticmethod
    def forward(
        before: Tensor, threshold: Tensor, given: Tensor, beta: float, soft: bool, surrogate: Surrogate, detached: bool,
        wants_threshold: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Both gradients."""
        grad_current = like(before)
        if is_compiled(before, surrogate) and given.dtype == before.dtype:
            arrays = [each.numpy() for each in flattened(before, given, grad_current)]
            found = compiled_scan.backward(
                *arrays, theta=float(threshold), beta=beta, soft=soft, detached=detached, surrogate=surrogate,
                wants_theta=wants_threshold,
            )  # fmt: skip
            return grad_current, torch.full_like(threshold, found)
        grad_threshold = torch.zeros_like(threshold)
        for v, arrived, gradient in blocks(before, given, grad_current):
            fired = (v > threshold).to(v.dtype)
            slope = surrogate.derivative(v, threshold)
            direct = arrived * slope
            if soft:
                keeps = torch.ones_like(v) if detached else 1 - threshold * slope
                of_threshold = -fired if detached else threshold * slope - fired
            else:
                keeps = 1 - fired if detached else 1 - fired - v * slope
                of_threshold = torch.zeros_like(v) if detached else v * slope
            keeps *= beta
            gradient[-1] = direct[-1]
            for t in range(len(v) - 2, -1, -1):
                torch.addcmul(direct[t], gradient[t + 1], keeps[t], out=gradient[t])
            if wants_threshold:
                grad_threshold += beta * (gradient[1:] * of_threshold[:-1]).sum() - direct.sum()
        return grad_current, grad_threshold.reshape(threshold.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Nothing is stored."""

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Second derivatives are not available.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("spiking neuron: a surrogate gradient has no derivative of its own")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *given: Any) -> tuple[Any, Any]:
        """Many samples at once; one by one where each has a gradient of the threshold."""
        apart = in_dims[1] is not None or given[-1]
        return _map_samples(_Gradient.apply, info.batch_size, in_dims, given, along_time=(0, 2), apart=apart)


def _map_samples(
    function: Callable[..., tuple[Tensor, ...]],
    size: int,
    in_dims: Sequence[int | None],
    given: Sequence[Any],
    *,
    along_time: Sequence[int],
    apart: bool,
) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
    """The vmap rule of a function of (T, ...) tensors whose neurons do not touch each other.

    Args:
        function: takes `given` without the mapped axis; returns (T, ...) or scalar tensors.
        size: of the mapped axis.
        in_dims: where it is in each of `given`; None where there is none.
        given: arguments.
        along_time: which of them are (T, ...) tensors.
        apart: compute each sample alone; else the mapped axis becomes the second of these tensors, one more of neurons.

    Returns:
        What the function returns with the mapped axis, and where that is.
    """
    if apart:
        places = list(zip(given, in_dims, strict=True))
        each = [function(*(x if d is None else x.select(d, i) for x, d in places)) for i in range(size)]
        return tuple(torch.stack(results) for results in zip(*each, strict=True)), (0,) * len(each[0])
    joined = list(given)
    for i in along_time:
        x, d = given[i], in_dims[i]
        joined[i] = x.movedim(d, 1) if d is not None else x.unsqueeze(1).expand(-1, size, *x.shape[1:])
    results = function(*joined)
    return results, tuple(1 if result.ndim else None for result in results)
