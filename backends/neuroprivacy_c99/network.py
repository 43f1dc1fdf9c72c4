"""The deployed files: C header and source of a Program."""

from __future__ import annotations

from dataclasses import dataclass

from neuroprivacy.program import Layer, Port, Program
from neuroprivacy_c99.layer import SUM_TYPES, LayerCode, emit_layer
from neuroprivacy_c99.names import identifiers
from neuroprivacy_c99.packing import BYTES, Constant, unpacker
from neuroprivacy_c99.sources import Source, input_type, sources_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """The C source of a Program.

    Attributes:
        header, source: texts of network.h and network.c.
        sources: port or layer name -> how its values are kept.
        flash: (what, bytes) of constants; likewise `ram` of all that is written.
    """

    header: str
    source: str
    sources: dict[str, Source]
    flash: tuple[tuple[str, int], ...]
    ram: tuple[tuple[str, int], ...]


def emit(program: Program) -> Emitted:
    """Write a Program as C source."""
    nodes: tuple[Port | Layer, ...] = (*program.inputs, *program.layers)
    names = identifiers([node.name for node in nodes])
    sources = sources_of(program, names)
    codes = [emit_layer(program, i, sources) for i in range(len(program.layers))]
    largest: dict[str, int] = {}
    for layer, code in zip(program.layers, codes, strict=True):
        largest[code.sums] = max(largest.get(code.sums, 0), layer.size)
    counted = program.layer(program.outputs[0]) if program.readout == "spike_count" else None
    ram = [("sums of one layer", max(size * BYTES[SUM_TYPES[m]] for m, size in largest.items()))]
    ram += [(f"steps of {name}", source.ram_bytes) for name, source in _kept(program, sources).items()]
    for layer, code in zip(program.layers, codes, strict=True):
        ram.append((f"states of {layer.name}", sum(size for _, size in code.states)))
    if counted is not None:
        ram.append(("counted spikes", 4 * counted.size + 4))
    constants = [constant for code in codes for constant in code.constants]
    return Emitted(
        header=_header(program),
        source=_source(program, sources, codes, largest, counted),
        sources=sources,
        flash=tuple((constant.name, constant.size_bytes) for constant in constants),
        ram=tuple(ram),
    )


def _kept(program: Program, sources: dict[str, Source]) -> dict[str, Source]:
    """Sources with a ring buffer: all but layers that never fire."""
    silent = {layer.name for layer in program.layers if not layer.fires and not _is_read(program, layer)}
    return {name: source for name, source in sources.items() if name not in silent}


def _is_read(program: Program, layer: Layer) -> bool:
    return any(edge.source == layer.name for each in program.layers for edge in each.edges)


_HEADER = """/* A spiking network in integers, for {target}. Written by neuroprivacy; content hash {digest}.
 *
 * One step is one call. Latency: the outputs of input step t come with the call of step t + NETWORK_LATENCY; after the
 * last input go on with {latency} calls of zeros; the readout is complete after NETWORK_READOUT_LATENCY of them. The
 * network has one state: it is not reentrant.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_INPUTS {inputs}u
#define NETWORK_OUTPUTS {outputs}u
#define NETWORK_CLASSES {classes}u
#define NETWORK_LATENCY {latency}u
#define NETWORK_READOUT_LATENCY {late}u

typedef {type} network_input;

/* Before every sample. */
void network_reset(void);

/* One step. input: {ports}. spikes: 0 or 1; {layers}. */
void network_step(const network_input input[NETWORK_INPUTS], uint8_t spikes[NETWORK_OUTPUTS]);

/* {readout}; the largest is the prediction, the lowest index on ties. */
void network_readout(int32_t readout[NETWORK_CLASSES]);

#endif
"""


def _header(program: Program) -> str:
    first = program.layer(program.outputs[0])
    ports = ", ".join(
        f"{port.size} values of {_comment(port.name)} in {port.low} ... {port.high}" for port in program.inputs
    )
    sizes = program.sizes
    outputs = ", ".join(f"{sizes[name]} of {_comment(name)}" for name in program.outputs)
    late = program.window(program.outputs[0], 1).start
    readout = (
        f"Membranes of {_comment(first.name)} after the last step"
        if program.readout == "membrane"
        else f"Spikes of {_comment(first.name)} since step {late + 1}, counted"
    )
    return _HEADER.format(
        target=_comment(program.target.name), digest=program.content_hash[:16], latency=program.latency, late=late,
        inputs=sum(port.size for port in program.inputs), outputs=sum(sizes[name] for name in program.outputs),
        classes=first.size, type=input_type(program), ports=ports, layers=outputs, readout=readout,
    )  # fmt: skip


def _comment(name: str) -> str:
    """A name that is safe in a comment."""
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in name)


_DECAYED = """/* x * kept / 4096, the fraction dropped towards zero; the product is made of two that fit 32 bits. */
static int32_t decayed(int32_t x, int32_t kept)
{
    uint32_t size = x < 0 ? 0u - (uint32_t)x : (uint32_t)x;
    uint32_t left = (size >> 12) * (uint32_t)kept + (((size & 4095u) * (uint32_t)kept) >> 12);
    return x < 0 ? -(int32_t)left : (int32_t)left;
}
"""
_DECAYED_WIDE = """/* x * kept / 4096, the fraction dropped towards zero. */
static int64_t decayed_wide(int64_t x, int32_t kept)
{
    uint64_t size = x < 0 ? 0u - (uint64_t)x : (uint64_t)x;
    uint64_t left = (size >> 12) * (uint64_t)kept + (((size & 4095u) * (uint64_t)kept) >> 12);
    return x < 0 ? -(int64_t)left : (int64_t)left;
}
"""
_HOOKS = """/* For tests on a host, which define these before they include this file. */
#ifndef NETWORK_SEEN
#define NETWORK_SEEN(layer, neuron, sum, current, membrane) ((void)0)
#define NETWORK_WRAPPED(layer) ((void)0)
#define NETWORK_SATURATED(layer) ((void)0)
#endif
"""


def _source(
    program: Program, sources: dict[str, Source], codes: list[LayerCode], largest: dict[str, int], counted: Layer | None
) -> str:
    kept = _kept(program, sources)
    constants: list[Constant] = [constant for code in codes for constant in code.constants]
    helpers = set().union(*(code.helpers for code in codes))
    parts = ['#include "network.h"\n', _HOOKS]
    parts += [constant.text() for constant in constants]
    members = " ".join(f"{SUM_TYPES[m]} {m}[{largest[m]}];" for m in sorted(largest))
    parts.append(f"/* Synaptic sums of the layer that is being computed. */\nstatic union {{ {members} }} sums;\n")
    for source in kept.values():
        parts.append(f"static {source.type} ring_{source.id}[{source.steps}][{source.width}];")
        if source.steps > 1:
            parts.append(f"static uint8_t now_{source.id};")
    parts += [text for code in codes for text, _ in code.states]
    if counted is not None:
        parts.append(f"static int32_t counted[{counted.size}];\nstatic uint32_t steps_done;")
    parts.append("")
    for name in sorted(helpers):
        fixed = {"decayed": _DECAYED, "decayed_wide": _DECAYED_WIDE}
        parts.append(fixed[name] if name in fixed else unpacker(int(name.removeprefix("weight_"))))
    parts += [function for code in codes for function in code.functions]
    parts += [_reset(kept, codes, counted), _step(program, sources, kept, counted), _readout(program, sources, counted)]
    return "\n".join(parts)


def _reset(kept: dict[str, Source], codes: list[LayerCode], counted: Layer | None) -> str:
    lines = []
    for source in kept.values():
        lines.append(
            f"for (uint32_t t = 0; t < {source.steps}u; t++) {{ for (uint32_t k = 0; k < {source.width}u; k++) "
            f"{{ ring_{source.id}[t][k] = 0; }} }}"
        )
        if source.steps > 1:
            lines.append(f"now_{source.id} = 0;")
    lines += [line for code in codes for line in code.reset]
    if counted is not None:
        lines += [f"for (uint32_t n = 0; n < {counted.size}u; n++) {{ counted[n] = 0; }}", "steps_done = 0;"]
    return "void network_reset(void)\n{\n" + "\n".join(f"    {line}" for line in lines) + "\n}\n"


def _step(program: Program, sources: dict[str, Source], kept: dict[str, Source], counted: Layer | None) -> str:
    lines = [
        f"now_{source.id} = (uint8_t)((now_{source.id} + 1u) % {source.steps}u);"
        for source in kept.values()
        if source.steps > 1
    ]
    for port in program.inputs:
        lines += _take(sources[port.name])
    lines += [f"layer_{sources[layer.name].id}();" for layer in program.layers]
    position = 0
    for name in program.outputs:
        source = sources[name]
        value = "0u"
        if name in kept:
            lines.append(f"const uint8_t *fired_{source.id} = {source.at(0)};")
            value = f"((uint32_t)fired_{source.id}[n >> 3] >> (n & 7u)) & 1u"
        lines.append(
            f"for (uint32_t n = 0; n < {source.size}u; n++) {{ spikes[{position}u + n] = (uint8_t)({value}); }}"
        )
        position += source.size
    if counted is not None:
        late = program.window(counted.name, 1).start
        lines += [
            "steps_done++;",
            f"if (steps_done > {late}u) {{",
            f"    for (uint32_t n = 0; n < {counted.size}u; n++) {{ counted[n] += spikes[n]; }}",
            "}",
        ]
    return (
        "void network_step(const network_input input[NETWORK_INPUTS], uint8_t spikes[NETWORK_OUTPUTS])\n{\n"
        + "\n".join(f"    {line}" for line in lines)
        + "\n}\n"
    )


def _take(source: Source) -> list[str]:
    """The C code that copies a port's values of this time step into its ring buffer."""
    into = f"{source.type} *into_{source.id} = {source.at(0)};"
    if not source.bits:
        return [
            into,
            f"for (uint32_t n = 0; n < {source.size}u; n++) "
            f"{{ into_{source.id}[n] = ({source.type})input[{source.offset}u + n]; }}",
        ]
    return [
        into,
        f"for (uint32_t k = 0; k < {source.width}u; k++) {{ into_{source.id}[k] = 0; }}",
        f"for (uint32_t n = 0; n < {source.size}u; n++) {{",
        f"    if (input[{source.offset}u + n] != 0) {{",
        f"        into_{source.id}[n >> 3] = (uint8_t)(into_{source.id}[n >> 3] | (1u << (n & 7u)));",
        "    }",
        "}",
    ]


def _readout(program: Program, sources: dict[str, Source], counted: Layer | None) -> str:
    first = program.layer(program.outputs[0])
    value = "counted[n]" if counted is not None else f"v_{sources[first.name].id}[n]"
    return (
        "void network_readout(int32_t readout[NETWORK_CLASSES])\n{\n"
        f"    for (uint32_t n = 0; n < {first.size}u; n++) {{ readout[n] = {value}; }}\n}}\n"
    )
