"""Placement of a Program on a chip: resources against limits, layers on cores, and remedies.

This is an estimate. It uses public limits alone, models neither routing nor shared memories, and places no two layers
on one core; a vendor's compiler may need more cores, or fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from neuroprivacy.core.errors import ConfigurationError, Issue
from neuroprivacy.mapping.demand import Demand, demand_of, fan_outs, kernel_entries, kernel_of
from neuroprivacy.mapping.placement import RESOURCES, Core, LayerUse, Placement, Use
from neuroprivacy.mapping.split import match_layers, split_layers
from neuroprivacy.program import ConvMap, Program
from neuroprivacy.targets.spec import Limits, TargetSpec

_REMEDIES = {
    "neurons": "use a smaller layer",
    "memory_bits": "splitting does not help; use smaller kernels, or fewer inputs to a neuron",
    "axons_in": "splitting does not help; make its sources smaller, or connect it by a convolution",
    "axons_out": "make its target layers smaller, or connect it to fewer",
}
_SECONDARY = "the limit is a secondary figure"


def place(program: Program, *, target: TargetSpec | None = None, refusals: Iterable[Issue] = ()) -> Placement:
    """Estimate the placement of a network on a chip's cores.

    Args:
        program: the network.
        target: the chip, where it is another than the Program's own.
        refusals: known refusals, of the arithmetic for example; they come first among the issues.

    Returns:
        The placement, whether the network fits or not; limits that are exceeded are its issues.

    Raises:
        ConfigurationError: the target's lists of cores that differ are not of one length.
    """
    spec = target or program.target
    limits = spec.limits
    demands = tuple(demand_of(layer) for layer in program.layers)
    bits = limits.synapse_bits or _weight_bits(program, spec)
    found = [*refusals]
    if limits.kernel_bits_of_cores is not None:
        cores = _matched(program, spec, demands, found)
    elif limits.cores is not None:
        cores = _divided(spec, demands, bits)
    else:
        cores = ()
    layers = _layers(program, spec, demands, cores, bits)
    found += _over(spec, cores)
    found += _shapes(program, spec)
    uses = _uses(program, spec, layers, cores, bits)
    found += _exceeded(uses, layers, {issue.where for issue in found if issue.what.startswith(RESOURCES["axons_in"])})
    return Placement(
        target=spec.name,
        title=spec.title,
        chip_cores=limits.cores or len(limits.kernel_bits_of_cores or ()),
        layers=layers,
        cores=cores,
        uses=tuple(uses),
        issues=tuple(found),
        notes=_notes(spec, demands, bits),
    )


def _weight_bits(program: Program, spec: TargetSpec) -> int:
    """Bits of one weight: as quantized, else the chip's width."""
    chosen = program.provenance.get("weight_bits")
    if chosen == "ternary":
        return 2
    return chosen if isinstance(chosen, int) and 1 <= chosen <= spec.weight_bits else spec.weight_bits


def _room(limits: Limits) -> dict[str, tuple[str, int]]:
    """Resource -> (field of Limits, capacity of one core), where a figure is public."""
    fields = {
        "neurons": ("neurons_per_core",),
        "memory_bits": ("synapse_bits_per_core",),
        "axons_in": ("axons_in", "fan_in"),
        "axons_out": ("axons_out", "fan_out"),
    }
    found: dict[str, tuple[str, int]] = {}
    for resource, names in fields.items():
        for name in names:
            if resource not in found and getattr(limits, name) is not None:
                found[resource] = (name, getattr(limits, name))
    return found


def _divided(spec: TargetSpec, demands: Sequence[Demand], bits: int) -> tuple[Core, ...]:
    """Partition every layer onto cores of equal size."""
    room = {name: limit for name, (_, limit) in _room(spec.limits).items()}
    parts, sent = split_layers(demands, room, bits)
    found: list[Core] = []
    for demand in demands:
        name = demand.layer.name
        for first, last in parts[name]:
            synapses = int(demand.fan_in[demand.order[first:last]].sum())
            found.append(
                Core(
                    index=len(found), layer=name, first=first, last=last, synapses=synapses,
                    memory_bits=synapses * bits, axons_in=demand.axons_in(first, last),
                    axons_out=int(sent[name][demand.order[first:last]].sum()), limits=room,
                )
            )  # fmt: skip
    return tuple(found)


def _matched(program: Program, spec: TargetSpec, demands: Sequence[Demand], issues: list[Issue]) -> tuple[Core, ...]:
    """Cores that differ and compute one whole layer each; layers without one go to `issues`."""
    kernel_bits = spec.limits.kernel_bits_of_cores or ()
    neurons = spec.limits.neurons_of_cores or tuple(2**62 for _ in kernel_bits)
    if len(neurons) != len(kernel_bits):
        raise ConfigurationError(
            f"target: {spec.name} has {len(kernel_bits)} cores by kernel_bits_of_cores and {len(neurons)} by "
            "neurons_of_cores"
        )
    shapes = _shape_of(program)
    needs = [
        (
            sum(kernel_entries(edge.map, shapes[edge.source]) for edge in demand.layer.edges) * spec.weight_bits,
            demand.layer.size,
        )
        for demand in demands
    ]
    seats = match_layers(needs, kernel_bits, neurons)
    consumers = {name: sum(edge.source == name for d in demands for edge in d.layer.edges) for name in shapes}
    found: list[Core] = []
    for demand, (bits, size), seat in zip(demands, needs, seats, strict=True):
        name = demand.layer.name
        if seat is not None:
            found.append(
                Core(
                    index=seat, layer=name, first=0, last=size, synapses=demand.synapses, memory_bits=bits,
                    axons_in=demand.axons_in(0, size), axons_out=size * consumers[name],
                    limits={"neurons": neurons[seat], "memory_bits": kernel_bits[seat]},
                )
            )  # fmt: skip
        elif bits > max(kernel_bits):
            issues.append(
                _issue(spec, "kernel_bits_of_cores", name, "bits of weights as the largest core addresses them", bits,
                       max(kernel_bits), "use fewer channels, smaller kernels or a smaller dense layer")
            )  # fmt: skip
        elif size > max(neurons):
            issues.append(
                _issue(spec, "neurons_of_cores", name, "neurons", size, max(neurons), "use a larger stride or pooling")
            )
        elif not any(bits <= k and size <= n for k, n in zip(kernel_bits, neurons, strict=True)):
            hint = "no core has that many neurons and that much memory; use fewer channels or a larger stride"
            issues.append(
                _issue(spec, "kernel_bits_of_cores", name, "bits of weights beside its neurons", bits, None, hint)
            )
        else:
            hint = "cores that could hold it are taken by other layers; make one of them smaller"
            issues.append(_issue(spec, "cores", name, "no core is left", None, None, hint))
    return tuple(sorted(found, key=lambda core: core.index))


def _layers(
    program: Program, spec: TargetSpec, demands: Sequence[Demand], cores: Sequence[Core], bits: int
) -> tuple[LayerUse, ...]:
    """The table of layers with cores and use."""
    outs = fan_outs(program.layers, program.sizes)
    found = []
    for demand in demands:
        layer = demand.layer
        own = [core for core in cores if core.layer == layer.name]
        stored = demand.synapses if cores else demand.weights
        found.append(
            LayerUse(
                name=layer.name,
                neurons=layer.size,
                synapses=demand.synapses,
                weights=demand.weights,
                memory_bits=sum(core.memory_bits for core in own) if own else stored * bits,
                fan_in=int(demand.fan_in.max()),
                fan_out=int(outs[layer.name].max()),
                axons_in=max((core.axons_in for core in own), default=demand.axons_in(0, layer.size)),
                axons_out=max((core.axons_out for core in own), default=0),
                delay_slots=max(edge.delay for edge in layer.edges) - program.target.edge_delay_min,
                cores=len(own),
            )
        )
    return tuple(found)


def _over(spec: TargetSpec, cores: Sequence[Core]) -> list[Issue]:
    """Cores whose demand exceeds their capacity, the worst of each layer."""
    fields = {name: field for name, (field, _) in _room(spec.limits).items()}
    worst: dict[tuple[str, str], Core] = {}
    for core in cores:
        for resource, limit in core.limits.items():
            value = getattr(core, resource)
            known = worst.get((core.layer, resource))
            if value > limit and (known is None or value > getattr(known, resource)):
                worst[core.layer, resource] = core
    return [
        _issue(
            spec, fields[resource], layer, f"{RESOURCES[resource]} of one core{', bits' * resource.endswith('_bits')}",
            getattr(core, resource), core.limits[resource], _REMEDIES[resource],
        )
        for (layer, resource), core in worst.items()
    ]  # fmt: skip


def _shape_of(program: Program) -> dict[str, tuple[int, ...]]:
    """The shape of every port and layer."""
    return {port.name: port.shape for port in program.inputs} | {layer.name: layer.shape for layer in program.layers}


def _shapes(program: Program, spec: TargetSpec) -> list[Issue]:
    """Kernels, strides and channels that a chip of convolution cores does not have."""
    limits = spec.limits
    shapes = _shape_of(program)
    found = []
    for layer in program.layers:
        for edge in layer.edges:
            where = f"{layer.name} from {edge.source}"
            linear, shape = edge.map, shapes[edge.source]
            kernel = max(kernel_of(linear, shape))
            if limits.max_kernel is not None and kernel > limits.max_kernel:
                found.append(
                    _issue(spec, "max_kernel", where, "kernel", kernel, limits.max_kernel,
                           "use smaller kernels, or pool before the dense layer")
                )  # fmt: skip
            channels = max(int(linear.weight.shape[0]), shape[0])
            if limits.max_features is not None and channels > limits.max_features:
                hint = "use fewer channels, or a smaller dense layer"
                found.append(_issue(spec, "max_features", where, "channels", channels, limits.max_features, hint))
            if limits.strides is not None and isinstance(linear, ConvMap) and set(linear.stride) - {*limits.strides}:
                hint = f"choose one of {', '.join(map(str, limits.strides))}"
                what = f"a stride of {linear.stride[0]}, {linear.stride[1]} does not exist"
                found.append(_issue(spec, "strides", where, what, None, None, hint))
    return found


def _uses(
    program: Program, spec: TargetSpec, layers: Sequence[LayerUse], cores: Sequence[Core], bits: int
) -> list[Use]:
    """Totals, and the fullest core for each of its limits."""
    limits = spec.limits

    def use(name: str, used: int, field: str = "", limit: int | None = None, unit: str = "") -> Use:
        """One line; `field` names the limit, or the limit that it is computed from."""
        own = limit if limit is not None else getattr(limits, field) if field else None
        source = spec.sources.get(f"limits.{field}") if own is not None else None
        standing, text = (source.standing, source.source) if source else ("", "")
        return Use(name=name, used=used, limit=own, standing=standing, source=text, unit=unit)

    neurons, synapses = sum(layer.neurons for layer in layers), sum(layer.synapses for layer in layers)
    memory = sum(layer.memory_bits for layer in layers)
    found: list[Use] = []
    if limits.cores is not None:
        found.append(use("cores", len(cores), "cores"))
    if limits.neurons_of_cores is not None:
        found.append(use("neurons", neurons, "neurons_of_cores", sum(limits.neurons_of_cores)))
    elif limits.cores is not None and limits.neurons_per_core is not None:
        found.append(use("neurons", neurons, "neurons_per_core", limits.cores * limits.neurons_per_core))
    else:
        found.append(use("neurons", neurons))
    found += [use("synapses", synapses, "synapses"), use("distinct weights", sum(layer.weights for layer in layers))]
    if limits.kernel_bits_of_cores is not None:
        found.append(use("weight memory", memory, "kernel_bits_of_cores", sum(limits.kernel_bits_of_cores), "bits"))
    elif limits.cores is not None and limits.synapse_bits_per_core is not None:
        room = limits.cores * limits.synapse_bits_per_core
        found.append(use("synapse memory", memory, "synapse_bits_per_core", room, "bits"))
    for resource, (field, _) in _room(limits).items() if cores else []:
        fullest = max(getattr(core, resource) for core in cores)
        unit = "bits" if resource == "memory_bits" else ""
        found.append(use(f"{RESOURCES[resource]}, fullest core", fullest, field, unit=unit))
    found.append(use("fan-in of a neuron", max(layer.fan_in for layer in layers), "fan_in"))
    found.append(use("fan-out of a neuron", max(layer.fan_out for layer in layers)))
    slots = max(layer.delay_slots for layer in layers)
    found.append(use("delay slots", slots, "delay_slots") if limits.delay_slots is not None else _delays(spec, slots))
    outputs = sum(layer.size for layer in program.layers if layer.name in program.outputs)
    if limits.inputs is not None:
        found.append(use("input channels", sum(port.size for port in program.inputs), "inputs"))
    if limits.hidden is not None:
        found.append(use("hidden neurons", neurons - outputs, "hidden"))
    if limits.outputs is not None:
        found.append(use("output neurons", outputs, "outputs"))
    if limits == Limits():
        found += _memory(program, spec, bits)
    return found


def _delays(spec: TargetSpec, slots: int) -> Use:
    """Delays against the longest delay of the chip's edges, where no separate figure is public."""
    source = spec.sources.get("edge_delay_max")
    standing, text = (source.standing, source.source) if source else ("", "")
    top = spec.edge_delay_max - spec.edge_delay_min
    return Use(name="delay slots", used=slots, limit=top, standing=standing, source=text)


def _memory(program: Program, spec: TargetSpec, bits: int) -> list[Use]:
    """Bytes in a processor's memory: packed weights, states, and buffers of delayed events."""
    weights = sum(math.ceil(int(edge.map.weight.size) * bits / 8) for layer in program.layers for edge in layer.edges)
    state = math.ceil(spec.membrane_bits / 8) + math.ceil(spec.current_bits / 8)
    slots = dict.fromkeys(program.sizes, 0)
    for layer in program.layers:
        for edge in layer.edges:
            slots[edge.source] = max(slots[edge.source], edge.delay)
    ports = {port.name for port in program.inputs}
    buffers = sum(
        slots[name] * math.ceil(size * (spec.message_bits if name in ports else 1) / 8)
        for name, size in program.sizes.items()
    )
    neurons = sum(layer.size for layer in program.layers)
    return [
        Use(name="packed weights", used=weights, unit="bytes"),
        Use(name="neuron states", used=neurons * state, unit="bytes"),
        Use(name="delay buffers", used=buffers, unit="bytes"),
    ]


def _exceeded(uses: Sequence[Use], layers: Sequence[LayerUse], known: set[str]) -> list[Issue]:
    """Limits of the whole chip and of neurons; those of single cores are `_over`'s, `known` such layers' names."""
    found = []
    for use in uses:
        if use.limit is None or use.used <= use.limit or use.name.endswith("fullest core"):
            continue
        if use.name.endswith(" memory"):
            continue  # a chip whose memory is too small has too few cores, and those are an issue of their own
        hint = {
            "cores": f"use {math.ceil(use.used / use.limit)} chips, fewer neurons or smaller kernels",
            "neurons": "use a smaller network or a larger target",
            "synapses": "use smaller kernels or a smaller network",
            "delay slots": "use a shallower network, or fewer skips",
            "fan-in of a neuron": "use smaller kernels, smaller pools or fewer inputs",
            "input channels": "use fewer inputs: pool or select them before the chip",
        }.get(use.name, "use a smaller network or a larger target")
        where = "network"
        if use.name == "fan-in of a neuron":
            where = max(layers, key=lambda layer: layer.fan_in).name
        if where in known:
            continue  # the input axons of its cores say the same
        found.append(_stated(use.standing, where, use.name, use.used, use.limit, hint))
    return found


def _issue(
    spec: TargetSpec, field: str, where: str, what: str, value: int | None, limit: int | None, hint: str
) -> Issue:
    """An exceeded limit; not fatal if its figure is secondary."""
    source = spec.sources.get(f"limits.{field}")
    return _stated(source.standing if source else "", where, what, value, limit, hint)


def _stated(standing: str, where: str, what: str, value: int | None, limit: int | None, hint: str) -> Issue:
    """The sentence about an exceeded limit, given how well the limit is documented."""
    secondary = standing == "secondary"
    text = f"{hint} ({_SECONDARY if secondary else f'a {standing} limit'})" if standing else hint
    return Issue(where=where, what=what, value=value, limit=limit, hint=text, fatal=not secondary)


def _notes(spec: TargetSpec, demands: Sequence[Demand], bits: int) -> tuple[str, ...]:
    """The sentences on what the estimate assumes."""
    limits = spec.limits
    notes = [
        "This is an estimate from counts and public limits, not the work of the chip's compiler, which may differ."
    ]
    if spec.check_only:
        notes.append(f"{spec.name} serves this check alone: its arithmetic is not verified against the chip.")
    if limits.kernel_bits_of_cores is not None:
        notes.append("A core computes one whole layer; layers are neither split nor do they share a core.")
        notes.append(
            "Weights are counted as cores address them: kernel places and channels rounded up to powers of two."
        )
    elif limits.cores is not None:
        notes.append(
            "Layers do not share cores, so small ones leave room; layers with channels are cut position by position."
        )
        source = spec.sources.get("limits.synapse_bits")
        reason = f": {source.source}" if source and limits.synapse_bits else " of weight; indices and tags are left out"
        notes.append(f"A synapse takes {bits} bits{reason}.")
        shared = sum(demand.weights for demand in demands)
        unrolled = sum(demand.synapses for demand in demands)
        if shared < unrolled:
            notes.append(
                f"Convolutions are counted unrolled: {unrolled} synapses stand for {shared} distinct weights. A chip "
                "and a compiler that share weights need less memory."
            )
    else:
        notes.append("No cores are described: the totals are all that is compared.")
    notes.append("A weight of zero counts as a synapse. Inputs come from outside and take no core.")
    return tuple(notes)
