"""The Program of its layers: ports, latencies, encoder and provenance."""

from __future__ import annotations

from typing import Any

from neuroprivacy.lowering.ir.integer import BoundedNetwork, Lowered
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.program import Program
from neuroprivacy.program.encoder import Encoder


def assemble_program(network: BoundedNetwork, context: LoweringContext) -> Lowered:
    """Build the Program from the integer layers.

    Raises:
        OutOfRange: a number does not fit its declared width.
    """
    real = network.network
    latencies = real.output_latencies
    program = Program(
        target=context.target,
        inputs=real.inputs,
        layers=network.layers,
        outputs=real.outputs,
        readout=real.readout,
        latency=max(latencies),
        latencies=latencies if len(set(latencies)) > 1 else (),
        max_steps=network.max_steps,
        encoder=_encoder(context, on_off_channels=real.signed_split),
        provenance={
            **context.provenance,
            "dt_s": real.dt_s,
            "weight_bits": context.weight_bits,
            "discretization": context.options.rule,
        },
    )
    return Lowered(program=program, diagnostics=network.diagnostics, real_network=real)


def _encoder(context: LoweringContext, *, on_off_channels: bool) -> dict[str, Any]:
    """The description of the encoder that is stored with the Program; empty for event input."""
    info = context.info
    if info.coding is None:
        return {}
    encoder = Encoder(coding=info.coding, time_steps=info.time_steps or context.time_steps, seed=context.options.seed)
    return {**encoder.describe(), "on_off_channels": on_off_channels}
