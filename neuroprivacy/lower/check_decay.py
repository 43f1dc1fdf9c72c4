"""Whether the integer decays still are the network's: 12 bits cannot hold a slow leak."""

from __future__ import annotations

import numpy as np

from neuroprivacy.errors import Issue
from neuroprivacy.kernels.dynamics import DECAY_ONE
from neuroprivacy.lower.draft import DraftLayer
from neuroprivacy.program import Layer

#: Relative error of a decay that is worth a remark.
TOLERANCE = 0.1


def check_decay(drafts: tuple[DraftLayer, ...], layers: tuple[Layer, ...]) -> tuple[Issue, ...]:
    """A remark for each layer whose decay per step, dv/4096, is off by more than a tenth of 1 - beta."""
    found = []
    for draft, layer in zip(drafts, layers, strict=True):
        wanted = 1 - draft.beta
        error = np.abs(layer.dv / DECAY_ONE - wanted)
        if (error > TOLERANCE * wanted + 1e-12).any():
            worst = int(np.argmax(error))
            found.append(
                Issue(
                    where=layer.name,
                    what=f"the decay of {wanted.flat[worst]:.3g} a step becomes "
                    f"{np.broadcast_to(layer.dv, wanted.shape).flat[worst]}/4096",
                    hint="12 bits hold no slower leak; give a larger --dt, or accept the difference",
                    fatal=False,
                )
            )
    return tuple(found)
