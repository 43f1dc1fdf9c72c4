"""Encoders: from samples to integers per time step. The one encoding function and all its parameters.

    poisson          1 with probability x (Bernoulli), else 0
    poisson-signed   sign(z) with probability |z|, z = 2x - 1: -1, 0 or 1 (PrivateSNN's published code)
    direct           round(255 x): the sample itself, as an 8-bit graded value, at every step

Source: Kim, Venkatesha and Panda, AAAI 2022, section "Encoding static images with rate coding"; the paper's sentence
has the comparison reversed, and the published code is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.program import Port

Coding = Literal["poisson", "poisson-signed", "direct"]
#: Largest value of `direct`; an integer of 1 stands for 1/255.
DIRECT_HIGH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """The parameters of an encoder.

    Attributes:
        coding: see the module's table.
        time_steps: T.
        seed: of the Bernoulli draws; sample i always gets the same spikes, whatever the batch.
    """

    coding: Coding
    time_steps: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.coding not in get_args(Coding):
            raise ConfigurationError(f"coding: {self.coding!r} is unknown; choose {', '.join(get_args(Coding))}")
        if self.time_steps < 1:
            raise ConfigurationError(f"time steps: {self.time_steps} is below 1")
        if not 0 <= self.seed < 2**64:
            raise ConfigurationError(f"seed: {self.seed} is not in 0 ... 2**64 - 1")

    def port(self, shape: tuple[int, ...], *, name: str = "input") -> Port:
        """The input port that this encoder feeds."""
        if self.coding == "direct":
            return Port(name=name, shape=shape, low=0, high=DIRECT_HIGH, scale=1 / DIRECT_HIGH)
        return Port(name=name, shape=shape, low=-1 if self.coding == "poisson-signed" else 0, high=1)

    def describe(self) -> dict[str, Any]:
        """Plain values that are stored with a network; `encoder_from` is the inverse."""
        preprocessing = "2x - 1" if self.coding == "poisson-signed" else "none, [0, 1]"
        return {"coding": self.coding, "steps": self.time_steps, "seed": self.seed, "preprocessing": preprocessing}


def encoder_from(described: Mapping[str, Any]) -> Encoder:
    """The inverse of `Encoder.describe`.

    Raises:
        ConfigurationError: fields are missing or unknown.
    """
    try:
        return Encoder(coding=described["coding"], time_steps=int(described["steps"]), seed=int(described["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"encoder: cannot be read from {dict(described)!r} ({error})") from error


def encode(samples: NDArray[np.float32], *, encoder: Encoder, first: int = 0) -> NDArray[np.int16]:
    """Turn samples into the input of a Program, time step by time step.

    Args:
        samples: (samples, *shape), values in [0, 1].
        encoder: its parameters.
        first: number of the first sample in its data set, so that the batches of a set get the same draws as the whole.

    Returns:
        (samples, T, *shape).

    Raises:
        ConfigurationError: a value is not in [0, 1].
    """
    if samples.size and not (samples.min() >= 0 and samples.max() <= 1):
        raise ConfigurationError(f"encode: values {samples.min()} ... {samples.max()} leave 0 ... 1")
    if encoder.coding == "direct":
        levels = np.rint(samples * DIRECT_HIGH).astype(np.int16)
        return np.repeat(levels[:, np.newaxis], encoder.time_steps, axis=1)
    shape = (encoder.time_steps, *samples.shape[1:])
    out = np.empty((len(samples), *shape), np.int16)
    for i, sample in enumerate(samples):
        # One stream per sample, keyed by its number: independent of batch size and order.
        stream = np.random.Generator(np.random.Philox(key=(encoder.seed, first + i)))
        value = 2 * sample - 1 if encoder.coding == "poisson-signed" else sample
        out[i] = np.where(stream.random(shape, np.float32) < np.abs(value), np.sign(value), 0)
    return out
