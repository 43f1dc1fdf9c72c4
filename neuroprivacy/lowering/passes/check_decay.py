"""Whether the integer decays still are the network's: 12 bits cannot hold a slow leak."""

from __future__ import annotations

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.lowering.draft import DraftLayer
from neuroprivacy.program import Layer
from neuroprivacy.targets.spec import TargetSpec

#: Relative error of a decay that is worth a remark.
TOLERANCE = 0.1


def check_decay(drafts: tuple[DraftLayer, ...], layers: tuple[Layer, ...], target: TargetSpec) -> tuple[Issue, ...]:
    """A remark for each layer whose decay per step is off by more than a tenth of what it should be."""
    found = []
    for draft, layer in zip(drafts, layers, strict=True):
        pairs = [("membrane", 1 - draft.beta, layer.dv)]
        if draft.alpha.any():
            pairs.append(("current", 1 - draft.alpha, layer.du + target.du_offset))
        for what, wanted, got in pairs:
            error = np.abs(got / DECAY_ONE - wanted)
            if (error > TOLERANCE * wanted + 1e-12).any():
                worst = int(np.argmax(error))
                found.append(
                    Issue(
                        where=layer.name,
                        what=f"the {what} decay of {wanted.flat[worst]:.3g} a step becomes "
                        f"{np.broadcast_to(got, wanted.shape).flat[worst]}/4096",
                        hint="12 bits hold no slower leak; give a larger --dt, or accept the difference",
                        fatal=False,
                    )
                )
    return tuple(found)
