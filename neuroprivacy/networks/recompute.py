"""Gradient checkpointing: a population stores its inputs, one byte for a spike, and is computed again in the backward
pass (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").

Both passes compute slices of the batch, so that only a few tensors of one slice exist at once, with the same dropout
masks. With one slice and no layer shared by populations, results are equal to the bit. With several slices, gradients
are summed in another order and masks are drawn slice by slice; so are those of a layer that two populations share.
`torch.func` needs networks with `recompute = False`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: Bytes that a forward pass may store on the CPU before parts are recomputed; on a GPU, the share of its memory.
CPU_BYTES = 4 * 2**30
GPU_SHARE = 0.5
#: Bytes of one tensor of a slice; a slice is one sample at least.
SLICE_BYTES = 64 * 2**20


def recomputed(
    compute: Callable[..., Tensor], inputs: Sequence[Tensor], *, modules: Sequence[nn.Module],
    spikes: Sequence[bool], values: int,
) -> Tensor:  # fmt: skip
    """compute(*inputs), keeping only the inputs for the gradient.

    Args:
        compute: of any samples of the inputs; uses the parameters of `modules` and no others.
        inputs: each (T or 1, batch, ...).
        modules: what computes.
        spikes: of each input, whether it holds nothing but 0 and 1; it is stored as bytes then.
        values: of the result, for one sample.

    Returns:
        (T, batch, ...).
    """
    # Layers that share a weight scale share its parameter: listed twice, its gradient would count twice.
    parameters = list(dict.fromkeys(p for module in modules for p in module.parameters() if p.requires_grad))
    draws = any(isinstance(module, nn.Dropout) and module.training and module.p > 0 for module in modules)
    width = max(1, SLICE_BYTES // (values * inputs[0].element_size()))
    result: Tensor = _Recomputed.apply(compute, tuple(spikes), draws, width, *inputs, *parameters)  # type: ignore[no-untyped-call]
    return result


def exceeds_memory(stored: int, device: torch.device) -> bool:
    """Whether a forward pass should not store so many bytes on that device."""
    if device.type != "cuda":
        return stored > CPU_BYTES
    return stored > GPU_SHARE * torch.cuda.get_device_properties(device).total_memory


class _Recomputed(torch.autograd.Function):
    """A function that is computed again in its backward pass."""

    @staticmethod
    def forward(
        ctx: Any, compute: Callable[..., Tensor], spikes: tuple[bool, ...], draws: bool, width: int, *given: Tensor
    ) -> Tensor:
        """Autograd records nothing in here; `given` holds the inputs, then the parameters."""
        inputs, parameters = given[: len(spikes)], given[len(spikes) :]
        batch = inputs[0].shape[1]
        ctx.compute, ctx.width, ctx.count = compute, width, len(inputs)
        ctx.dtypes = [x.dtype for x in inputs]
        ctx.draws = _random_state(inputs[0].device) if draws else None
        bits = (x.to(torch.bool) if binary else x for x, binary in zip(inputs, spikes, strict=True))
        ctx.save_for_backward(*bits, *parameters)
        if batch <= width:
            return compute(*inputs)
        result = None
        for here in _slices(batch, width):
            part = compute(*(x[:, here] for x in inputs))
            if result is None:
                result = part.new_empty(len(part), batch, *part.shape[2:])
            result[:, here] = part
        assert result is not None
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        """Compute again, with autograd, and go back through it."""
        kept, parameters = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        wanted = [bool(needed) for needed in ctx.needs_input_grad[4 : 4 + ctx.count]]
        grads = [
            torch.empty_like(x, dtype=dtype) if needed else None
            for x, dtype, needed in zip(kept, ctx.dtypes, wanted, strict=True)
        ]
        total: list[Tensor | None] = [None] * len(parameters)
        device = kept[0].device
        with torch.random.fork_rng([device] if kept[0].is_cuda else [], enabled=ctx.draws is not None):
            if ctx.draws is not None:
                _set_random_state(device, ctx.draws)
            for here in _slices(kept[0].shape[1], ctx.width):
                inputs = [
                    x[:, here].to(dtype).requires_grad_(needed)
                    for x, dtype, needed in zip(kept, ctx.dtypes, wanted, strict=True)
                ]
                with torch.enable_grad():
                    result = ctx.compute(*inputs)
                free = [x for x, needed in zip(inputs, wanted, strict=True) if needed]
                found = torch.autograd.grad(result, [*parameters, *free], given[:, here], allow_unused=True)
                of_inputs = iter(found[len(parameters) :])
                for grad in grads:
                    if grad is not None:
                        part = next(of_inputs)
                        grad[:, here] = 0 if part is None else part
                total = [_sum(a, b) for a, b in zip(total, found[: len(total)], strict=True)]
        return (None, None, None, None, *grads, *total)


def _slices(size: int, width: int) -> list[slice]:
    """Divide a batch into slices of at most `width` samples."""
    return [slice(first, min(first + width, size)) for first in range(0, size, width)]


def _sum(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    """The sum of two gradients, either of which may be None."""
    return more if total is None else total if more is None else total.add_(more)


def _random_state(device: torch.device) -> Tensor:
    """The state of the random generator that dropout draws its masks from on that device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
