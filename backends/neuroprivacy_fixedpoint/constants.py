"""The neurons' constants: one repeated block where all neurons of a layer have the same, else one value each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import Layer, Program, membrane_bound
from neuroprivacy_fixedpoint.columns import BLOCK, NEVER
from neuroprivacy_fixedpoint.layout import Layout


class Constants:
    """Collects the constants: int32, or int64 for layers that need wide integers."""

    def __init__(self) -> None:
        self.narrow: list[NDArray[np.int32]] = []
        self.wide: list[Int64] = []
        self.ends = [0, 0]

    def add(
        self,
        row: np.void,
        program: Program,
        layer: Layer,
        layout: Layout,
        bound: int,
        *,
        steps: int | None,
        wide: bool,
    ) -> None:
        """Add a layer's constants and fill in its record. `bound` is of its synaptic input, `steps` of a run."""
        rule = program.target.rule
        arrives = bound << rule.activation_shift
        decay_u = DECAY_ONE - (layer.du + rule.du_offset) if rule.keeps_current else np.zeros(1, np.int64)
        keeps = rule.keeps_current and (bool(decay_u.any()) or arrives >= rule.u_half)
        strict = rule.threshold_test == ">"
        theta = (layer.threshold << rule.threshold_shift) + strict
        if not layer.fires:
            theta = np.full(1, 2**62 if wide else NEVER)
        row["has_current"], row["leaky"] = keeps, bool(layer.dv.any())
        row["shift"], row["half"] = rule.activation_shift, rule.u_half if rule.keeps_current else 0
        row["lowest"], row["highest"] = rule.v_lowest, rule.v_highest
        row["soft"], row["strict"] = layer.reset == "soft", strict
        decay_v = DECAY_ONE - layer.dv
        membrane = membrane_bound(layer, arrives + int(np.abs(layer.bias).max()), steps=steps)
        divisor = int(np.gcd.reduce(decay_v))
        common = divisor & -divisor  # the largest power of two that divides all
        row["small"] = (
            not wide and not keeps and bool(layer.dv.any()) and membrane <= min(-rule.v_lowest, rule.v_highest)
            and membrane * int(decay_v.max()) // common < 2**31
        )  # fmt: skip
        if row["small"]:
            decay_v, row["decay_shift"] = decay_v // common, (DECAY_ONE // common).bit_length() - 1
        for name, values in (("theta", theta), ("bias", layer.bias), ("decay_u", decay_u), ("decay_v", decay_v)):
            equal = bool((values == values[0]).all())
            kept = np.full(BLOCK, values[0]) if equal else layout.inside(values)
            row[name], row[f"{name}_step"] = self.ends[wide], not equal
            self.ends[wide] += kept.size
            if wide:
                self.wide.append(kept.astype(np.int64))
            else:
                self.narrow.append(kept.astype(np.int32))
