"""The lowering IR, one type per stage:

    nir.NIRGraph        the graph as it was given, then without nested graphs
    ContinuousNetwork   real-valued IR in continuous time: the graph with its time step
    RealNetwork         real-valued IR in time steps
    ScheduledNetwork    the same with a latency of every layer and a delay of every connection
    QuantizedNetwork    quantized IR: integer weights and their scales beside the real ones
    IntegerNetwork      the layers of the Program beside the quantized IR they come from
    BoundedNetwork      the same with the number of time steps that its readout is proved for
    Lowered             the Program

A type holds every field from its stage on: no field is None until a later pass.
"""

from neuroprivacy.lowering.ir.continuous import ContinuousNetwork
from neuroprivacy.lowering.ir.integer import BoundedNetwork, IntegerNetwork, Lowered
from neuroprivacy.lowering.ir.quantized import QuantizedConnection, QuantizedLayer, QuantizedNetwork
from neuroprivacy.lowering.ir.real import RealConnection, RealLayer, RealMap, RealNetwork, execution_order
from neuroprivacy.lowering.ir.scheduled import ScheduledConnection, ScheduledLayer, ScheduledNetwork

__all__ = [
    "BoundedNetwork",
    "ContinuousNetwork",
    "IntegerNetwork",
    "Lowered",
    "QuantizedConnection",
    "QuantizedLayer",
    "QuantizedNetwork",
    "RealConnection",
    "RealLayer",
    "RealMap",
    "RealNetwork",
    "ScheduledConnection",
    "ScheduledLayer",
    "ScheduledNetwork",
    "execution_order",
]
