"""The neurons' constants: one block where all neurons of a layer share them, else one value for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import Layer, Program, membrane_bound
from neuroprivacy_fixedpoint.columns import BLOCK, LAYER, NEVER
from neuroprivacy_fixedpoint.layout import Layout


class Constants:
    """The constants as they grow, 32 bits wide, or 64 for layers that need wide integers."""

    def __init__(self) -> None:
        self.narrow: list[NDArray[np.int32]] = []
        self.wide: list[Int64] = []
        self.ends = [0, 0]

    def add(
        self,
        row: NDArray[np.int64],
        program: Program,
        layer: Layer,
        layout: Layout,
        bound: int,
        *,
        steps: int | None,
        wide: bool,
    ) -> None:
        """Fill in a layer's columns: `bound` of its sums, `steps` the most of a run."""
        rule = program.target.rule
        arrives = bound << rule.activation_shift
        of_u = DECAY_ONE - (layer.du + rule.du_offset) if rule.keeps_current else np.zeros(1, np.int64)
        keeps = rule.keeps_current and (bool(of_u.any()) or arrives >= rule.u_half)
        strict = rule.threshold_test == ">"
        theta = (layer.threshold << rule.threshold_shift) + strict
        if not layer.fires:
            theta = np.full(1, 2**62 if wide else NEVER)
        row[LAYER["KEEPS"]], row[LAYER["LEAKS"]] = keeps, bool(layer.dv.any())
        row[LAYER["SHIFT"]], row[LAYER["HALF"]] = rule.activation_shift, rule.u_half if rule.keeps_current else 0
        row[LAYER["LOWEST"]], row[LAYER["HIGHEST"]] = rule.v_lowest, rule.v_highest
        row[LAYER["SOFT"]], row[LAYER["STRICT"]] = layer.reset == "soft", strict
        of_v = DECAY_ONE - layer.dv
        membrane = membrane_bound(layer, arrives + int(np.abs(layer.bias).max()), steps=steps)
        divisor = int(np.gcd.reduce(of_v))
        common = divisor & -divisor  # the largest power of two that divides all
        row[LAYER["SMALL"]] = (
            not wide and not keeps and bool(layer.dv.any()) and membrane <= min(-rule.v_lowest, rule.v_highest)
            and membrane * int(of_v.max()) // common < 2**31
        )  # fmt: skip
        if row[LAYER["SMALL"]]:
            of_v, row[LAYER["DECAY_SHIFT"]] = of_v // common, (DECAY_ONE // common).bit_length() - 1
        for name, values in (("THETA", theta), ("BIAS", layer.bias), ("OF_U", of_u), ("OF_V", of_v)):
            equal = bool((values == values[0]).all())
            kept = np.full(BLOCK, values[0]) if equal else layout.inside(values)
            row[LAYER[name]], row[LAYER[f"{name}_STEP"]] = self.ends[wide], not equal
            self.ends[wide] += kept.size
            if wide:
                self.wide.append(kept.astype(np.int64))
            else:
                self.narrow.append(kept.astype(np.int32))
