"""Names of the command line and what the library calls them."""

from __future__ import annotations

from typing import Any

from neuroprivacy.kernels.dynamics import Reset

#: snnTorch's names, as users know them, and ours.
RESETS: dict[str, Reset] = {"zero": "hard", "subtract": "soft"}


def spiking_fields(beta: float, reset: Reset, coding: str, steps: int, surrogate: str) -> dict[str, Any]:
    """Fields of `SpikingSpec` beside the model."""
    return {"beta": beta, "reset": reset, "coding": coding, "steps": steps, "surrogate": surrogate}
