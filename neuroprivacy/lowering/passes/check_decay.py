"""The rounding error of the integer decays: 12 bits cannot hold a slow leak."""

from __future__ import annotations

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.lowering.ir.integer import Lowered
from neuroprivacy.lowering.options import LoweringContext

#: Relative error of a decay that gives a diagnostic.
TOLERANCE = 0.1


def check_decay(lowered: Lowered, context: LoweringContext) -> Lowered:
    """A diagnostic for each layer whose decay per time step is off by more than a tenth."""
    target = context.target
    found = []
    for real, layer in zip(lowered.real_network.layers, lowered.program.layers, strict=True):
        pairs = [("membrane", 1 - real.beta, layer.dv)]
        if real.alpha.any():
            pairs.append(("current", 1 - real.alpha, layer.du + target.du_offset))
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
    return lowered.diagnosed(found)
