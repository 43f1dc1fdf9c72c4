"""Training long runs of deep networks in little memory: a part keeps what it was given, one byte for a spike, and is
computed a second time when its gradient is wanted (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").

Both times it is computed by slices of the batch, so that no more than a few tensors of one slice are there at once, and
with the same masks of dropout. In one slice the numbers are those without it, to the bit; in several, gradients are
summed in another order and masks are drawn slice by slice. `torch.func` needs networks with `recompute = False`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: Bytes that a forward pass may keep on the CPU before parts are recomputed; on a GPU, the share of its memory.
CPU_BYTES = 4 * 2**30
GPU_SHARE = 0.5
#: Bytes of one tensor of a slice; a slice is one sample at least.
SLICE_BYTES = 64 * 2**20


def recomputed(
    compute: Callable[[Tensor], Tensor], x: Tensor, *, modules: Sequence[nn.Module], spikes: bool, values: int
) -> Tensor:
    """compute(x), keeping only x for the gradient.

    Args:
        compute: of any samples of x; uses the parameters of `modules` and no others.
        x: (T or 1, batch, ...).
        modules: what computes.
        spikes: whether x holds nothing but 0 and 1; it is kept as bytes then.
        values: of the result, for one sample.

    Returns:
        (T, batch, ...).
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    draws = any(isinstance(module, nn.Dropout) and module.training and module.p > 0 for module in modules)
    width = max(1, SLICE_BYTES // (values * x.element_size()))
    result: Tensor = _Recomputed.apply(compute, spikes, draws, width, x, *parameters)  # type: ignore[no-untyped-call]
    return result


def is_too_much(kept: int, device: torch.device) -> bool:
    """Whether so many bytes should not be kept on that device."""
    if device.type != "cuda":
        return kept > CPU_BYTES
    return kept > GPU_SHARE * torch.cuda.get_device_properties(device).total_memory


class _Recomputed(torch.autograd.Function):
    """A function that is computed again in its backward pass."""

    @staticmethod
    def forward(
        ctx: Any, compute: Callable[[Tensor], Tensor], spikes: bool, draws: bool, width: int, x: Tensor,
        *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        """Autograd records nothing in here."""
        ctx.compute, ctx.dtype, ctx.width = compute, x.dtype, width
        ctx.draws = _random_state(x.device) if draws else None
        ctx.save_for_backward(x.to(torch.bool) if spikes else x, *parameters)
        if x.shape[1] <= width:
            return compute(x)
        result = None
        for here in _slices(x.shape[1], width):
            part = compute(x[:, here])
            if result is None:
                result = part.new_empty(len(part), x.shape[1], *part.shape[2:])
            result[:, here] = part
        assert result is not None
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        """Compute again, with autograd, and go back through it."""
        kept, *parameters = ctx.saved_tensors
        of_x = ctx.needs_input_grad[4]
        grad_x = torch.empty_like(kept, dtype=ctx.dtype) if of_x else None
        total: list[Tensor | None] = [None] * len(parameters)
        with torch.random.fork_rng([kept.device] if kept.is_cuda else [], enabled=ctx.draws is not None):
            if ctx.draws is not None:
                _set_random_state(kept.device, ctx.draws)
            for here in _slices(kept.shape[1], ctx.width):
                x = kept[:, here].to(ctx.dtype).requires_grad_(of_x)
                with torch.enable_grad():
                    result = ctx.compute(x)
                wanted = [*parameters, x] if of_x else parameters
                found = torch.autograd.grad(result, wanted, given[:, here], allow_unused=True)
                if grad_x is not None:
                    grad_x[:, here] = 0 if found[-1] is None else found[-1]
                total = [_sum(a, b) for a, b in zip(total, found[: len(total)], strict=True)]
        return (None, None, None, None, grad_x, *total)


def _slices(size: int, width: int) -> list[slice]:
    """Of the batch."""
    return [slice(first, min(first + width, size)) for first in range(0, size, width)]


def _sum(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    """Of gradients, either of which there may not be."""
    return more if total is None else total if more is None else total.add_(more)


def _random_state(device: torch.device) -> Tensor:
    """Of the generator that masks on that device are drawn from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
