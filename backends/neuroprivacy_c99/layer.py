"""C code of one layer: synaptic input by events, then the neuron dynamics of SEMANTICS.md."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neuroprivacy.kernels.formats import Int64
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import ConvMap, DenseMap, Edge, Layer, Program, fits_32_bits, largest_inputs
from neuroprivacy_c99.packing import BYTES, Constant, weight_constant
from neuroprivacy_c99.sources import Source, smallest_type


@dataclass(slots=True, kw_only=True)
class LayerCode:
    """The C code of one layer.

    Attributes:
        constants: arrays in flash.
        states: (declaration, bytes) of arrays in RAM.
        functions: definitions, the last of them `layer_<id>`.
        reset: statements for the start.
        sums: the accumulator's member and type: `s` int16_t, `m` int32_t or `l` int64_t.
        helpers: names of functions that it calls.
    """

    constants: list[Constant] = field(default_factory=list)
    states: list[tuple[str, int]] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    sums: str = "m"
    helpers: set[str] = field(default_factory=set)


SUM_TYPES = {"s": "int16_t", "m": "int32_t", "l": "int64_t"}
#: Larger strides, dilations and pool strides all leave every input, so that they are equivalent.
_FAR = 2**24


def membrane_type(program: Program) -> str:
    """The type of a membrane: int16_t if the target saturates within 16 bits."""
    rule = program.target.rule
    return "int16_t" if smallest_type(min(rule.v_lowest, -1), rule.v_highest).endswith(("8_t", "16_t")) else "int32_t"


def emit_layer(program: Program, number: int, sources: dict[str, Source]) -> LayerCode:
    """The code of layer `number` of a Program."""
    layer = program.layers[number]
    code, own = LayerCode(), sources[layer.name]
    bound = layer.activation_bound(largest_inputs(program))
    code.sums = "s" if bound < 2**15 else "m" if bound < 2**31 else "l"
    body = [f"    for (uint32_t n = 0; n < {layer.size}u; n++) {{ sums.{code.sums}[n] = 0; }}"]
    for i, edge in enumerate(layer.edges):
        body += _edge(code, layer, edge, i, own.id, sources[edge.source])
    body += _neurons(code, program, layer, number, own)
    code.functions.append(f"static void layer_{own.id}(void)\n{{\n" + "\n".join(body) + "\n}\n")
    return code


def _edge(code: LayerCode, layer: Layer, edge: Edge, i: int, id: str, source: Source) -> list[str]:
    """Append the edge's function; returns the statements that call it for every event."""
    name = f"add_{id}_{i}"
    values, maps = _by_event(edge.map), edge.map
    constant, weight = weight_constant(f"weights_{id}_{i}", values)
    code.constants.append(constant)
    if weight.startswith("weight_"):
        code.helpers.add(weight.split("(")[0])
    head = f"static void {name}(uint32_t from" + ("" if source.bits else ", int32_t value") + ")\n{\n"
    lines = _dense(code, maps, weight, source) if isinstance(maps, DenseMap) else _conv(code, maps, weight, source)
    code.functions.append(head + "\n".join(f"    {line}" for line in lines) + "\n}\n")
    pointer = f"        const {source.type} *past = {source.at(edge.delay)};"
    if source.bits:
        return [
            "    {",
            pointer,
            f"        for (uint32_t k = 0; k < {source.width}u; k++) {{",
            "            uint32_t byte = past[k];",
            "            for (uint32_t from = 8u * k; byte != 0u; from++) {",
            f"                if ((byte & 1u) != 0u) {{ {name}(from); }}",
            "                byte >>= 1;",
            "            }",
            "        }",
            "    }",
        ]
    return [
        "    {",
        pointer,
        f"        for (uint32_t from = 0; from < {source.size}u; from++) {{",
        f"            if (past[from] != 0) {{ {name}(from, past[from]); }}",
        "        }",
        "    }",
    ]


def _by_event(linear: DenseMap | ConvMap) -> Int64:
    """Weights in the order in which an event reads them, flat."""
    if isinstance(linear, DenseMap):
        return np.ascontiguousarray(linear.weight.T).reshape(-1)
    grouped = linear.weight.reshape(linear.groups, -1, *linear.weight.shape[1:])
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1)).reshape(-1)


def _add(code: LayerCode, weight: str, at: str, source: Source) -> str:
    """The statement that adds one weight of an event to sum n."""
    term, kind = weight.format(at=at), SUM_TYPES[code.sums]
    if not source.bits:
        term = f"({'(int64_t)' if code.sums == 'l' else ''}{term} * value)"
    return f"sums.{code.sums}[n] = ({kind})(sums.{code.sums}[n] + {term});"


def _dense(code: LayerCode, linear: DenseMap, weight: str, source: Source) -> list[str]:
    outputs = linear.weight.shape[0]
    return [
        f"uint32_t at = from * {outputs}u;",
        f"for (uint32_t n = 0; n < {outputs}u; n++) {{ {_add(code, weight, 'at + n', source)} }}",
    ]


def _conv(code: LayerCode, linear: ConvMap, weight: str, source: Source) -> list[str]:
    _, height, width = linear.in_shape
    out, rows, columns = linear.out_shape
    kernel_rows, kernel_columns = linear.weight.shape[2:]
    group_out, group_in = out // linear.groups, linear.weight.shape[1]
    inner = [
        *_loop("i", "y", "row", kernel_rows, linear, 0, rows),
        *(f"    {line}" for line in _loop("j", "x", "column", kernel_columns, linear, 1, columns)),
        f"        uint32_t at = (uint32_t)((channel * {kernel_rows} + i) * {kernel_columns} + j) * {group_out}u;",
        f"        uint32_t n = (uint32_t)((channel / {group_in} * {group_out} * {rows} + row) * {columns} + column);",
        f"        for (uint32_t o = 0; o < {group_out}u; o++) {{",
        f"            {_add(code, weight, 'at + o', source)}",
        f"            n += {rows * columns}u;",
        "        }",
        "    }",
        "}",
    ]
    place = [f"int32_t channel = (int32_t)(from / {height * width}u);"]
    if (linear.pool, linear.pool_stride) == ((1, 1), (1, 1)):
        return [
            *place,
            f"int32_t y = (int32_t)(from / {width}u % {height}u);",
            f"int32_t x = (int32_t)(from % {width}u);",
            *inner,
        ]
    lines = [
        *place,
        f"int32_t down = (int32_t)(from / {width}u % {height}u);",
        f"int32_t right = (int32_t)(from % {width}u);",
    ]
    for axis, (index, place_of) in enumerate((("y", "down"), ("x", "right"))):
        size, windows = linear.pool[axis], linear.pooled_shape[axis + 1]
        stride = min(linear.pool_stride[axis], _FAR)
        first = f"({place_of} < {size} ? 0 : ({place_of} - {size}) / {stride} + 1)"
        lines.append(
            "    " * axis + f"for (int32_t {index} = {first}; {index} <= {place_of} / {stride} && {index} < {windows}; "
            f"{index}++) {{"
        )
    return [*lines, *(f"        {line}" for line in inner), "    }", "}"]


def _loop(index: str, place: str, target: str, kernel: int, linear: ConvMap, axis: int, size: int) -> list[str]:
    """A loop over the kernel positions along one axis that have an output."""
    stride, dilation = (min(steps[axis], _FAR) for steps in (linear.stride, linear.dilation))
    padding = linear.padding[axis]
    far = f"{place} + {padding} - {index} * {dilation}"
    lines = [f"for (int32_t {index} = 0; {index} < {kernel}; {index}++) {{", f"    int32_t {target} = {far};"]
    if stride == 1:
        return [*lines, f"    if ({target} < 0 || {target} >= {size}) {{ continue; }}"]
    return [
        *lines,
        f"    if ({target} < 0 || {target} % {stride} != 0) {{ continue; }}",
        f"    {target} /= {stride};",
        f"    if ({target} >= {size}) {{ continue; }}",
    ]


def _neurons(code: LayerCode, program: Program, layer: Layer, number: int, own: Source) -> list[str]:
    """The statements of the neuron dynamics."""
    rule, id = program.target.rule, own.id
    state = membrane_type(program)
    wide = not fits_32_bits(program, layer)
    kind, decayed = ("int64_t", "decayed_wide") if wide else ("int32_t", "decayed")
    arrives = layer.activation_bound(largest_inputs(program)) << rule.activation_shift
    of_u = DECAY_ONE - (layer.du + rule.du_offset) if rule.keeps_current else np.zeros(1, np.int64)
    take = _Constants(code, layer, id)
    lines = [f"{kind} current = ({kind})sums.{code.sums}[n] * {1 << rule.activation_shift};"]
    if of_u.any():
        code.helpers.add(decayed)
        code.states.append((f"static {kind} u_{id}[{layer.size}];", layer.size * BYTES[kind]))
        code.reset.append(_filled(take, "u", layer.u_init, layer.size, kind))
        lines.append(f"current += {decayed}(u_{id}[n], {take('kept_u', of_u)});")
    if rule.keeps_current and (of_u.any() or arrives >= rule.u_half):
        lines += [
            f"if (current > {rule.u_half}) {{ current -= {2 * rule.u_half}; NETWORK_WRAPPED({number}); }}",
            f"else if (current <= -{rule.u_half}) {{ current += {2 * rule.u_half}; NETWORK_WRAPPED({number}); }}",
        ]
    if of_u.any():
        lines.append(f"u_{id}[n] = current;")
    code.states.append((f"static {state} v_{id}[{layer.size}];", BYTES[state] * layer.size))
    code.reset.append(_filled(take, "v", layer.v_init, layer.size, state))
    before = f"v_{id}[n]"
    if layer.dv.any():
        code.helpers.add(decayed)
        before = f"{decayed}({before}, {take('kept_v', DECAY_ONE - layer.dv)})"
    bias = f" + {take('bias', layer.bias)}" if layer.bias.any() else ""
    lines += [
        f"{kind} membrane = {before} + current{bias};",
        f"if (membrane > {rule.v_highest}) {{ membrane = {rule.v_highest}; NETWORK_SATURATED({number}); }}",
        f"else if (membrane < {_negative(rule.v_lowest)}) "
        f"{{ membrane = {_negative(rule.v_lowest)}; NETWORK_SATURATED({number}); }}",
        f"NETWORK_SEEN({number}, n, sums.{code.sums}[n], current, membrane);",
    ]
    start: list[str] = []
    if layer.fires:
        theta = take("threshold", layer.threshold << rule.threshold_shift)
        start = [f"    {own.type} *fired = {own.at(0)};"]
        start.append(f"    for (uint32_t k = 0; k < {own.width}u; k++) {{ fired[k] = 0; }}")
        reset = f"membrane -= {theta};" if layer.reset == "soft" else "membrane = 0;"
        lines += [
            f"if (membrane {rule.threshold_test} {theta}) {{",
            f"    {reset}",
            "    fired[n >> 3] = (uint8_t)(fired[n >> 3] | (1u << (n & 7u)));",
            "}",
        ]
    lines.append(f"v_{id}[n] = {'' if kind == state else f'({state})'}membrane;")
    if not take.by_channel:
        return [
            *start,
            f"    for (uint32_t n = 0; n < {layer.size}u; n++) {{",
            *(f"        {x}" for x in lines),
            "    }",
        ]
    return [
        *start,
        "    uint32_t n = 0;",
        f"    for (uint32_t c = 0; c < {layer.shape[0]}u; c++) {{",
        f"        for (uint32_t k = 0; k < {layer.size // layer.shape[0]}u; k++, n++) {{",
        *(f"            {line}" for line in lines),
        "        }",
        "    }",
    ]


def _negative(value: int) -> str:
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def _filled(take: _Constants, state: str, initial: Int64, size: int, kind: str) -> str:
    """The statement that initialises a state."""
    name = f"{state}_{take.id}"
    if (initial == initial[0]).all():
        return f"for (uint32_t n = 0; n < {size}u; n++) {{ {name}[n] = {int(initial[0])}; }}"
    per = size // take.layer.shape[0]
    value = take(f"start_{state}", initial, keep_loop=True)
    value = value.replace("[c]", f"[n / {per}u]")
    return f"for (uint32_t n = 0; n < {size}u; n++) {{ {name}[n] = ({kind}){value}; }}"


class _Constants:
    """A neuron's constants: a number, one for each channel, or one for each neuron."""

    def __init__(self, code: LayerCode, layer: Layer, id: str) -> None:
        self.code, self.layer, self.id = code, layer, id
        self.by_channel = False

    def __call__(self, name: str, values: Int64, *, keep_loop: bool = False) -> str:
        """The C expression of a constant of neuron n of channel c."""
        if (values == values[0]).all():
            return f"({_negative(int(values[0]))})" if values[0] < 0 else str(int(values[0]))
        apart = values.reshape(self.layer.shape[0], -1)
        by_channel = len(self.layer.shape) > 1 and bool((apart == apart[:, :1]).all())
        kept = np.ascontiguousarray(apart[:, 0]) if by_channel else values
        kind = "int16_t" if kept.min() >= -(2**15) and kept.max() < 2**15 else "int32_t"
        if kept.min() < -(2**31) or kept.max() >= 2**31:
            kind = "int64_t"
        self.code.constants.append(Constant(name=f"{name}_{self.id}", type=kind, values=kept))
        if by_channel and not keep_loop:
            self.by_channel = True
        return f"{name}_{self.id}[{'c' if by_channel else 'n'}]"
