"""Energy of one operation: three pairs of constants for ANN and SNN, and a chip's own figures for the SNN.

A multiply-accumulate (MAC) is one multiplication and one addition, an accumulate (AC) is the addition alone:

    E_MAC = E_mul + E_add        E_AC = E_add

Source: Horowitz, ISSCC 2014, "Computing's energy problem", 45 nm at 0.9 V, as quoted by Han et al. 2015,
Fig. 1. The chip's figures come from the [energy] table of its TargetSpec.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuroprivacy.targets.spec import TargetSpec

_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm, 0.9 V (as quoted by Han et al. 2015, Fig. 1)"
_ARITHMETIC_ONLY = (
    "Arithmetic alone: no memory access (a 32-bit read of a small SRAM is 5 pJ, of DRAM 640 pJ), no "
    "addressing, no control, no static power, no input and output."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Energy of arithmetic in one number format.

    Attributes:
        name: short, as in tables.
        title: one line for people.
        mac_j: one multiply-accumulate, joule.
        ac_j: one accumulate, joule.
        leaves_out: what these constants do not contain.
        source: where they come from.
    """

    name: str
    title: str
    mac_j: float
    ac_j: float
    leaves_out: str
    source: str

    @property
    def multiply_j(self) -> float:
        """One multiplication alone, joule."""
        return self.mac_j - self.ac_j


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipCosts:
    """A chip's own energy per event, joule. There is no ANN counterpart: such a chip runs no ANN.

    Attributes:
        name: the target.
        synaptic_op_j: one weight fetched and added.
        neuron_update_j: one neuron, one step, whether it spikes or not.
        spike_j: one spike sent.
        leaves_out: what these figures do not contain, and for which chip they hold.
        sources: where each comes from, in the order above.
    """

    name: str
    synaptic_op_j: float
    neuron_update_j: float
    spike_j: float
    leaves_out: str
    sources: tuple[str, str, str]


#: FP32: 4.6 / 0.9 pJ (mul 3.7, add 0.9). INT32: 3.2 / 0.1 (mul 3.1). INT8: 0.23 / 0.03 (mul 0.2).
COST_MODELS: tuple[CostModel, ...] = (
    CostModel(
        name="FP32",
        title="32-bit floating point, 45 nm",
        mac_j=4.6e-12,
        ac_j=0.9e-12,
        leaves_out=_ARITHMETIC_ONLY,
        source=_HOROWITZ,
    ),
    CostModel(
        name="INT32",
        title="32-bit integers, 45 nm",
        mac_j=3.2e-12,
        ac_j=0.1e-12,
        leaves_out=_ARITHMETIC_ONLY,
        source=_HOROWITZ,
    ),
    CostModel(
        name="INT8",
        title="8-bit integers, 45 nm",
        mac_j=0.23e-12,
        ac_j=0.03e-12,
        leaves_out=_ARITHMETIC_ONLY + " Sums of many 8-bit products need wider accumulators than are charged here.",
        source=_HOROWITZ,
    ),
)


def chip_costs(target: TargetSpec) -> ChipCosts | None:
    """The chip's own figures; None unless all three are known."""
    energy = target.energy
    if energy.synaptic_op_j is None or energy.neuron_update_j is None or energy.spike_j is None:
        return None
    synapse, update, spike = (
        target.sources[f"energy.{name}"].source if f"energy.{name}" in target.sources else "not stated"
        for name in ("synaptic_op_j", "neuron_update_j", "spike_j")
    )
    return ChipCosts(
        name=target.name,
        synaptic_op_j=energy.synaptic_op_j,
        neuron_update_j=energy.neuron_update_j,
        spike_j=energy.spike_j,
        leaves_out=energy.note,
        sources=(synapse, update, spike),
    )
