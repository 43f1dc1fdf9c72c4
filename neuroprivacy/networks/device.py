"""Where torch computes."""

from __future__ import annotations

import torch

from neuroprivacy.core.errors import ConfigurationError


def check_device(name: str) -> str:
    """The device, if this machine has it.

    Raises:
        ConfigurationError: it has not.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("device: no CUDA device is found; use --device cpu")
    return name


def set_threads(count: int) -> None:
    """Threads of torch; they change floating-point results, so every run pins and records them."""
    torch.set_num_threads(count)
