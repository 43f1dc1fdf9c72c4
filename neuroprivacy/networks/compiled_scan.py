"""The neuron's scan on the CPU, fused: a tile of neurons goes through all steps while it lies in the cache.

The same numbers as the torch form in `neuron` (membranes to the last bit or two: a compiler may add and multiply in one
rounding). Sources of the surrogates: `surrogate`. Numba compiles it once per machine; threads are torch's number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from neuroprivacy.networks.surrogate import Surrogate

Float32 = NDArray[np.float32]
#: Neurons of a tile; the fewest of a thread. Chosen by measurement.
_TILE = 1024
_LEAST = 16 * _TILE
#: Surrogates that are compiled.
CODES = {"privatesnn": 0, "fast_sigmoid": 1, "atan": 2, "spike_rate_escape": 3, "straight_through": 4, "triangular": 5}


@njit(cache=True, nogil=True, fastmath={"contract"})
def _forward(x, before, spikes, theta, beta, soft, first, end):  # type: ignore[no-untyped-def]
    """Membranes before the reset and spikes of neurons first ... end - 1, all (T, neurons)."""
    v = np.zeros(_TILE, np.float32)
    one, zero = np.float32(1), np.float32(0)
    for a in range(first, end, _TILE):
        size = min(_TILE, end - a)
        v[:] = zero
        for t in range(len(x)):
            arrived, reached, fired = x[t, a : a + size], before[t, a : a + size], spikes[t, a : a + size]
            if soft:
                for j in range(size):
                    m = np.float32(arrived[j] + beta * v[j])
                    above = m > theta
                    reached[j] = m
                    fired[j] = one if above else zero
                    v[j] = np.float32(m - theta) if above else m
            else:
                for j in range(size):
                    m = np.float32(arrived[j] + beta * v[j])
                    above = m > theta
                    reached[j] = m
                    fired[j] = one if above else zero
                    v[j] = zero if above else m


@njit(cache=True, nogil=True, fastmath={"contract"})
def _slopes(code, scale, v, theta, slope):  # type: ignore[no-untyped-def]
    """The surrogate's derivative at membranes v of one step."""
    one, size = np.float32(1), len(v)
    if code == 0:
        height = np.float32(np.float32(0.3) / theta)
        for j in range(size):
            slope[j] = scale * height * max(one - abs(v[j] / theta - one), np.float32(0))
    elif code == 1:
        for j in range(size):
            wide = np.float32(one + np.float32(25) * abs(v[j] - theta))
            slope[j] = scale / (wide * wide)
    elif code == 2:
        pi = np.float32(np.pi)
        for j in range(size):
            far = np.float32(pi * (v[j] - theta))
            slope[j] = scale / (one + far * far)
    elif code == 3:
        for j in range(size):
            slope[j] = scale * np.float32(25) * np.exp(-abs(v[j] - theta - one))
    elif code == 4:
        slope[:size] = scale
    else:
        for j in range(size):
            slope[j] = scale if v[j] < theta else -scale


@njit(cache=True, nogil=True, fastmath={"contract"})
def _backward(before, given, gradient, theta, beta, soft, detached, code, scale, wants_theta, first, end):  # type: ignore[no-untyped-def]
    """Gradients of the current for neurons first ... end - 1, and that of the threshold if it is wanted."""
    slope, following = np.zeros(_TILE, np.float32), np.zeros(_TILE, np.float32)
    of_theta = 0.0
    last = len(before) - 1
    for a in range(first, end, _TILE):
        size = min(_TILE, end - a)
        following[:] = np.float32(0)
        for t in range(last, -1, -1):
            v, g, out = before[t, a : a + size], given[t, a : a + size], gradient[t, a : a + size]
            _slopes(code, scale, v, theta, slope[:size])
            if wants_theta:  # apart, for a sum in order is not vectorized; `following` is still that of the next step
                for j in range(size):
                    fired = np.float32(1) if v[j] > theta else np.float32(0)
                    through = theta * slope[j] if soft else v[j] * slope[j]
                    lost = np.float32(0) if detached else through
                    if soft:
                        lost -= fired
                    of_theta += beta * following[j] * lost - g[j] * slope[j]
            if detached:
                for j in range(size):
                    fired = np.float32(1) if v[j] > theta and not soft else np.float32(0)
                    keeps = np.float32(beta * (np.float32(1) - fired))
                    out[j] = following[j] = np.float32(g[j] * slope[j] + following[j] * keeps)
            else:
                for j in range(size):
                    fired = np.float32(1) if v[j] > theta and not soft else np.float32(0)
                    through = theta * slope[j] if soft else v[j] * slope[j]
                    keeps = np.float32(beta * (np.float32(1) - fired - through))
                    out[j] = following[j] = np.float32(g[j] * slope[j] + following[j] * keeps)
    return of_theta


def is_compiled(current: torch.Tensor, surrogate: Surrogate) -> bool:
    """Whether the compiled scan supports this neuron and device."""
    return current.device.type == "cpu" and current.dtype == torch.float32 and surrogate.name in CODES


def forward(x: Float32, before: Float32, spikes: Float32, *, theta: float, beta: float, soft: bool) -> None:
    """The scan: current, membranes and spikes, all (T, neurons); the last two are written."""

    def part(first: int, end: int) -> float:
        """Some neurons."""
        _forward(x, before, spikes, np.float32(theta), np.float32(beta), soft, first, end)
        return 0.0

    _in_parts(part, x.shape[1])


def backward(
    before: Float32, given: Float32, gradient: Float32, *, theta: float, beta: float, soft: bool, detached: bool,
    surrogate: Surrogate, wants_theta: bool,
) -> float:  # fmt: skip
    """Write the gradient with respect to the current, (T, neurons); returns that of the threshold, or 0."""
    code, scale = CODES[surrogate.name], np.float32(surrogate.scale)

    def part(first: int, end: int) -> float:
        """Some neurons."""
        found: float = _backward(
            before,
            given,
            gradient,
            np.float32(theta),
            np.float32(beta),
            soft,
            detached,
            code,
            scale,
            wants_theta,
            first,
            end,
        )
        return found

    return _in_parts(part, before.shape[1])


def _in_parts(part: Callable[[int, int], float], neurons: int) -> float:
    """Call for shares of the neurons on as many threads as torch has; the sum of what they return, in their order."""
    count = max(1, min(torch.get_num_threads(), neurons // _LEAST))
    ends = [neurons * i // count // _TILE * _TILE for i in range(count)] + [neurons]
    if count == 1:
        return part(0, neurons)
    others = [_pool(count).submit(part, ends[i], ends[i + 1]) for i in range(1, count)]
    return part(ends[0], ends[1]) + sum(other.result() for other in others)


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="neuroprivacy-scan")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads
