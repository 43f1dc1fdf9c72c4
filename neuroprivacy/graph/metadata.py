"""What NIR cannot say, carried as metadata of the graph: time step, reset, coding, readout.

NIR has continuous time and the hard reset only. A reader that ignores this metadata discretizes with a time step of its
own and resets to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import nir
import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program.encoder import Coding
from neuroprivacy.program.network import Readout

PREFIX = "neuroprivacy."
#: Of a node: the unit on which its weights lie.
WEIGHT_SCALE = PREFIX + "weight_scale"
#: Time step that our writer assumes, seconds: the one that snnTorch and SpikingJelly write.
DEFAULT_DT_S = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInfo:
    """What a graph states beyond NIR: time step, encoder, reset and how it was trained.

    Attributes:
        dt_s: time step, seconds; None if the graph does not say.
        reset: reset rule; None if the graph does not say (NIR's own meaning is "hard").
        readout: of the last layer; None if it does not say.
        coding: of the input; None if it does not say.
        time_steps: T; None if it does not say.
        readout_beta: decay per step of a membrane readout; None if it does not say.
        schedule: "chip" if the network was trained with the chip's uncorrected bias timing.
    """

    dt_s: float | None = None
    reset: Reset | None = None
    readout: Readout | None = None
    coding: Coding | None = None
    time_steps: int | None = None
    readout_beta: float | None = None
    schedule: str | None = None

    def to_metadata(self) -> dict[str, Any]:
        """The metadata dictionary of a NIR graph; fields that are None are left out."""
        fields = {
            "dt_s": self.dt_s, "reset": self.reset, "readout": self.readout, "coding": self.coding,
            "steps": self.time_steps, "readout_beta": self.readout_beta, "schedule": self.schedule,
        }  # fmt: skip
        written = {PREFIX + name: value for name, value in fields.items() if value is not None}
        if self.reset == "soft":
            written[PREFIX + "warning"] = (
                "These neurons subtract the threshold on a spike. A reader that ignores this metadata resets them to "
                "zero and will compute fewer spikes."
            )
        return written


def read_info(graph: nir.NIRGraph) -> GraphInfo:
    """Read back what `to_metadata` wrote.

    Raises:
        UnsupportedNode: a field has a value that is not known here.
    """
    found: Mapping[str, Any] = graph.metadata if isinstance(graph.metadata, Mapping) else {}
    known: dict[str, Any] = {}
    for name, choices in (
        ("reset", get_args(Reset)), ("readout", get_args(Readout)), ("coding", get_args(Coding)),
        ("schedule", ("ideal", "chip")),
    ):  # fmt: skip
        value = _text(found.get(PREFIX + name))
        if value is not None and value not in choices:
            raise UnsupportedNode(f"graph: metadata {name} ({value!r}) is none of {', '.join(choices)}")
        known[name] = value
    dt_s = _positive("dt_s", found.get(PREFIX + "dt_s"))
    steps = _positive("steps", found.get(PREFIX + "steps"))
    beta = _positive("readout_beta", found.get(PREFIX + "readout_beta"))
    if beta is not None and beta > 1:
        raise UnsupportedNode(f"graph: metadata readout_beta ({beta:g}) is above 1")
    return GraphInfo(dt_s=dt_s, time_steps=None if steps is None else int(steps), readout_beta=beta, **known)


def weight_scale(node: Any) -> NDArray[np.float64] | None:
    """The weight scale that a node states, (1,) or (out channels,); None if it states none."""
    found = node.metadata.get(WEIGHT_SCALE) if isinstance(node.metadata, Mapping) else None
    if found is None:
        return None
    scale = np.asarray(found, np.float64).reshape(-1)
    if (
        not scale.size
        or not np.isfinite(scale).all()
        or scale.min() <= 0
        or scale.size not in (1, len(getattr(node, "weight", ())))
    ):
        raise UnsupportedNode("graph: metadata weight_scale is not one positive number, or one per output channel")
    return scale


def _positive(name: str, value: Any) -> float | None:
    """A number above 0, if there is one; metadata of a file may be anything."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf or (name == "steps" and number != int(number)):
        raise UnsupportedNode(f"graph: metadata {name} ({value!r}) is not a positive number")
    return number


def _text(value: Any) -> str | None:
    """Metadata text may come back from a file as bytes."""
    if value is None:
        return None
    return value.decode() if isinstance(value, bytes) else str(value)
