"""Every node of NIR 1.0 with its fields, as nir.write lays them out in a file.

Source: the dataclasses of nir 1.0.8 in nir/ir/*.py, and `to_dict` of Input, Output and Flatten, which rename a field.
`metadata` is optional everywhere. `v_reset` is missing in files of nir before 1.0.6; `w_in` is 1 where it is missing;
shapes that nir could infer may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: real: finite numbers; positive and nonnegative: such numbers; shape: extents, 1 or more; extents: 1 or more, one for
#: each axis or one for all; padding: the same, 0 or more, or "same" or "valid"; count: one integer, 1 or more; axis:
#: one integer.
Rule = Literal["real", "positive", "nonnegative", "shape", "extents", "padding", "count", "axis"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a node: its name, what it holds, and whether it may be missing."""

    name: str
    rule: Rule
    optional: bool = False


_CONV = (
    Field("input_shape", "extents", optional=True), Field("weight", "real"), Field("stride", "extents"),
    Field("padding", "padding"), Field("dilation", "extents"), Field("groups", "count"), Field("bias", "real"),
)  # fmt: skip
_POOL = (Field("kernel_size", "extents"), Field("stride", "extents"), Field("padding", "padding"))
_R, _LEAK, _THRESHOLD = Field("r", "positive"), Field("v_leak", "real"), Field("v_threshold", "real")
_RESET, _W_IN = Field("v_reset", "real", optional=True), Field("w_in", "real", optional=True)
_TAUS = (Field("tau_syn", "positive"), Field("tau_mem", "positive"))

#: The nodes by the type name that the file states; NIRGraph is in `validate.py`.
NODES: dict[str, tuple[Field, ...]] = {
    "Input": (Field("shape", "shape"),),
    "Output": (Field("shape", "shape"),),
    "Affine": (Field("weight", "real"), Field("bias", "real")),
    "Linear": (Field("weight", "real"),),
    "Scale": (Field("scale", "real"),),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "AvgPool2d": _POOL,
    "SumPool2d": _POOL,
    "Flatten": (Field("input_type", "shape", optional=True), Field("start_dim", "axis"), Field("end_dim", "axis")),
    "Delay": (Field("delay", "nonnegative"),),
    "Threshold": (Field("threshold", "real"),),
    "I": (_R,),
    "IF": (_R, _THRESHOLD, _RESET),
    "LI": (Field("tau", "positive"), _R, _LEAK),
    "LIF": (Field("tau", "positive"), _R, _LEAK, _THRESHOLD, _RESET),
    "CubaLI": (*_TAUS, _R, _LEAK, _W_IN),
    "CubaLIF": (*_TAUS, _R, _LEAK, _THRESHOLD, _RESET, _W_IN),
}
GRAPH = "NIRGraph"
#: Nodes whose fields all have the shape of the layer.
ELEMENTWISE = frozenset({"Scale", "Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"})
#: Those of them that are neurons: one value may stand for all.
NEURONS = ELEMENTWISE - {"Scale", "Delay"}
#: How many axes of space a node works on.
SPACE = {"Conv1d": 1, "Conv2d": 2, "AvgPool2d": 2, "SumPool2d": 2}
