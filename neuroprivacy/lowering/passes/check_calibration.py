"""Whether the calibration samples fit the input ports of the graph."""

from __future__ import annotations

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.lowering.ir.real import RealNetwork
from neuroprivacy.lowering.options import LoweringContext


def check_calibration(network: RealNetwork, context: LoweringContext) -> RealNetwork:
    """Check the calibration input against the network's ports; the network itself is returned unchanged.

    Raises:
        ConfigurationError: a port has no samples, or they do not fit.
    """
    given = context.options.calibration or {}
    for port in network.inputs:
        array = given.get(port.name)
        if array is None or array.ndim != 3 or array.shape[2] != port.size:
            shape = None if array is None else array.shape
            raise ConfigurationError(
                f"calibration: {port.name} needs (samples, steps, {port.size}) integers, given is {shape}"
            )
    return network
