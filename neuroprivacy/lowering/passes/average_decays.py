"""Decays that differ by neuron where the target has one per layer: their mean, with `constants="mean"`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroprivacy.core.errors import Issue
from neuroprivacy.kernels.rounding import differ
from neuroprivacy.lowering.ir.real import RealLayer, RealNetwork
from neuroprivacy.lowering.options import LoweringContext


def average_decays(network: RealNetwork, context: LoweringContext) -> RealNetwork:
    """The network with one decay of current and membrane per layer, and a diagnostic for each layer that changes."""
    if context.target.threshold_per == "neuron":
        return network
    layers: list[RealLayer] = []
    found: list[Issue] = []
    for layer in network.layers:
        changed, issues = _averaged(layer)
        layers.append(changed)
        found += issues
    return replace(network, layers=tuple(layers)).diagnosed(found)


def _averaged(layer: RealLayer) -> tuple[RealLayer, list[Issue]]:
    """The layer with the mean of each decay factor."""
    found = []
    for name, what in (("alpha", "current"), ("beta", "membrane")):
        values = getattr(layer, name)
        if differ(values):
            mean = float(values.mean())
            common = np.full(layer.size, mean)
            layer = replace(layer, alpha=common) if name == "alpha" else replace(layer, beta=common)
            found.append(
                Issue(
                    where=layer.name,
                    what=f"the {what} decays of {values.min():.4g} ... {values.max():.4g} a step become {mean:.4g}",
                    hint="see what it costs with: neuroprivacy trace",
                    fatal=False,
                )
            )
    return layer, found
