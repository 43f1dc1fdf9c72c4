"""What the figures leave out and how they may be read: shown wherever one of them is."""

from __future__ import annotations

from neuroprivacy.energy.costs import ChipCosts
from neuroprivacy.energy.macs import recurrent_edges, splits_sign
from neuroprivacy.energy.work import Work
from neuroprivacy.program import Program

_ALWAYS = (
    "These are estimates from counted operations and published constants; nothing was measured on hardware.",
    "FP32, INT32 and INT8 charge arithmetic alone, for ANN and SNN alike. Memory, peripherals, static power, "
    "addressing, input and output are left out; memory often costs more than arithmetic (32-bit "
    "SRAM read: 5 pJ).",
    "The ANN is the dense one with the same layers: every weight once per inference, zero activations not "
    "skipped; pooling, biases and activation functions are left out on both sides.",
    "PrivateSNN's published 55.8x almost surely rests on the INT32 pair (3.2 / 0.1 pJ, 32 to 1). This is "
    "inferred from its rate model, not confirmed by its authors. The same spikes under FP32 (4.6 / 0.9 pJ) "
    "give 8.9x.",
    "An SNN with int8 weights has its fair opponent in an INT8 ANN, the INT8 row. The accuracy of such an "
    "ANN is not measured here.",
    "With memory counted, published break-even points are lower than those given here: 0.15 to 1.38 spikes "
    "per synapse and inference, depending on the hardware (Dampfhoffer et al., IEEE TETCI 7(3), 2023).",
)


def notes(program: Program, *, total: Work, chip: ChipCosts | None) -> tuple[str, ...]:
    """The notes that hold for every report, then those that this Program calls for."""
    found = list(_ALWAYS)
    if total.graded_operations:
        found.append(
            "The input is graded (more than -1, 0 and 1): its operations multiply and are charged as MACs, not as ACs."
        )
    recurrent = recurrent_edges(program)
    if recurrent:
        names = ", ".join(dict.fromkeys(layer.name for layer, _ in recurrent))
        found.append(
            f"Recurrent edges ({names}) have no counterpart in a feed-forward ANN: they cost the SNN "
            "operations and the ANN nothing."
        )
    if splits_sign(program):
        found.append(
            "Signed input reaches the chip as an on and an off channel; the ANN is charged for one signed channel."
        )
    if chip is not None:
        found.append(
            f"{chip.name}: the chip's figures are for the SNN only, as no ANN runs there, so no ratio is "
            f"given. {chip.leaves_out}"
        )
    else:
        found.append(
            f"{program.target.name}: no energy per operation is known of this target, so no chip row is given."
        )
    return tuple(found)
