"""The proof that a membrane readout never fires, on a target whose neurons all fire."""

from __future__ import annotations

from neuroprivacy.core.errors import Issue, OutOfRange
from neuroprivacy.kernels.ranges import Ranges
from neuroprivacy.lowering.ir.integer import BoundedNetwork, IntegerNetwork
from neuroprivacy.lowering.layer_ranges import layer_state_bounds
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.program import Layer
from neuroprivacy.targets.spec import TargetSpec

#: A membrane readout is proved for up to so many input time steps.
PROVED_STEPS = 4096


def prove_silent_readout(network: IntegerNetwork, context: LoweringContext) -> BoundedNetwork:
    """The network with the number of input time steps that its readout is proved for; None where no proof is needed.

    Raises:
        OutOfRange: they are fewer than the wanted ones.
    """
    target, real = context.target, network.network
    if target.silent_readout or real.readout != "membrane":
        return BoundedNetwork.of(network, max_steps=None)
    readout = next(layer for layer in network.layers if layer.name == real.outputs[0])
    needed = context.time_steps
    proved = silent_steps(
        readout, real.input_ranges, latency=max(real.output_latencies), target=target,
        wanted=max(PROVED_STEPS, needed),
    )  # fmt: skip
    if proved < needed:
        what = "a readout that must not fire is proved for"
        hint = f"steps, {needed} are needed; use fewer steps or a spike-count readout"
        raise OutOfRange.of([Issue(where=readout.name, what=what, value=proved, hint=hint)])
    return BoundedNetwork.of(network, max_steps=proved)


def silent_steps(layer: Layer, ranges: Ranges, *, latency: int, target: TargetSpec, wanted: int) -> int:
    """Input time steps, up to `wanted`, for which a layer without spikes provably stays below the threshold."""
    ceiling = target.threshold_max << target.threshold_shift

    def holds(steps: int) -> bool:
        """Whether the membrane is proved to stay below the threshold for all time steps of the input."""
        _, (_, high) = layer_state_bounds(layer, ranges, steps=steps + latency, target=target)
        return high <= ceiling

    if holds(wanted):
        return wanted
    below, above = 0, wanted
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if holds(middle) else (below, middle)
    return below
