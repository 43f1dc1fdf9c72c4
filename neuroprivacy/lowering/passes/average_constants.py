"""Decays that differ by neuron, where the target has one per layer: their mean, if the user accepts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.lowering.draft import Draft, DraftLayer
from neuroprivacy.lowering.passes.normalize_thresholds import differ
from neuroprivacy.targets.spec import TargetSpec


def average_constants(draft: Draft, target: TargetSpec) -> Draft:
    """The draft with one decay of current and membrane per layer, and a remark for each layer that it changes."""
    if target.threshold_per == "neuron":
        return draft
    layers, remarks = [], list(draft.remarks)
    for layer in draft.layers:
        changed, said = _averaged(layer)
        layers.append(changed)
        remarks += said
    return replace(draft, layers=tuple(layers), remarks=tuple(remarks))


def _averaged(layer: DraftLayer) -> tuple[DraftLayer, list[Issue]]:
    said = []
    for name, what in (("alpha", "current"), ("beta", "membrane")):
        values = getattr(layer, name)
        if differ(values):
            mean = float(values.mean())
            whole = np.full(layer.size, mean)
            layer = replace(layer, alpha=whole) if name == "alpha" else replace(layer, beta=whole)
            said.append(
                Issue(
                    where=layer.name,
                    what=f"the {what} decays of {values.min():.4g} ... {values.max():.4g} a step become {mean:.4g}",
                    hint="see what it costs with: neuroprivacy trace",
                    fatal=False,
                )
            )
    return layer, said
