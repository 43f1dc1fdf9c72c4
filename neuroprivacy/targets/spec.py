"""A chip as data: bit widths, rules, limits, each number with its source.

A new chip is a new TOML file (shipped in `targets/`, or any path), never code. Every number is written as
`{ value = ..., standing = "published" | "secondary" | "chosen", source = "..." }`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.kernels import NeuronRule

Standing = Literal["published", "secondary", "chosen"]
Width = Annotated[int, Field(ge=1, le=62)]
Count = Annotated[int, Field(ge=1)]
#: The parts of a number in a TOML file, and the fields that are no numbers.
_PARTS = frozenset(("value", "standing", "source"))
_PLAIN = frozenset(("name", "title", "simulation_only", "check_only", "note"))
#: Fields that came after Programs were first stored: `to_dict` leaves out their defaults, so that the
#: content hashes of those Programs stay what they are.
_LATER = {"check_only": False}
_LATER_LIMITS = frozenset(
    ("axons_in", "axons_out", "synapse_bits", "synapses", "delay_slots", "max_kernel", "strides", "max_features",
     "kernel_bits_of_cores", "neurons_of_cores", "inputs", "hidden", "outputs")
)  # fmt: skip
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Source:
    """The source of a number of a target: its standing, and the citation."""

    standing: Standing
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Limits:
    """The capacity of a chip; None where no figure is public.

    Attributes:
        cores: neuromorphic cores on one chip.
        neurons_per_core: neurons that one core updates.
        synapse_bits_per_core: memory for synapses on one core, bits.
        fan_in: incoming synapses of one neuron, or input axons of one core.
        fan_out: output axons of one core.
        axons_in: sources of one core.
        axons_out: (neuron, target core) pairs of one core.
        synapse_bits: bits of one synapse in a core's memory; None where it is the weight alone.
        synapses: synapses of one chip.
        delay_slots: time steps of delay beyond the one that every edge costs.
        max_kernel: rows and columns of a convolution's kernel.
        strides: legal strides of a convolution.
        max_features: channels that a convolution takes or makes.
        kernel_bits_of_cores: memory for the weights of each core, bits, where cores differ; such a core computes one
            whole layer and holds the weights of a convolution once, not once per synapse.
        neurons_of_cores: neurons of each core, where cores differ.
        inputs: input channels of the chip.
        hidden: neurons of all layers that are no outputs.
        outputs: neurons of all output layers.
    """

    cores: Count | None = None
    neurons_per_core: Count | None = None
    synapse_bits_per_core: Count | None = None
    fan_in: Count | None = None
    fan_out: Count | None = None
    axons_in: Count | None = None
    axons_out: Count | None = None
    synapse_bits: Count | None = None
    synapses: Count | None = None
    delay_slots: Annotated[int, Field(ge=0)] | None = None
    max_kernel: Count | None = None
    strides: tuple[Count, ...] | None = None
    max_features: Count | None = None
    kernel_bits_of_cores: tuple[Count, ...] | None = None
    neurons_of_cores: tuple[Count, ...] | None = None
    inputs: Count | None = None
    hidden: Count | None = None
    outputs: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Energy:
    """Energy per event in joule; None where no figure is public.

    Attributes:
        synaptic_op_j: one weight fetched and added.
        neuron_update_j: one neuron, one step, whether it spikes or not.
        spike_j: one spike sent.
        note: costs that the figures leave out.
    """

    synaptic_op_j: float | None = None
    neuron_update_j: float | None = None
    spike_j: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class TargetSpec:
    """The integer formats, rules and limits of one chip.

    Attributes:
        name: as given to `--target`.
        title: one line for people.
        weight_bits: signed width of a weight.
        activation_bits: declared signed width of a synaptic sum; exceeding it is reported.
        activation_shift: s, bits by which a synaptic sum is shifted before it enters the current.
        current_bits: signed width of u, which wraps; 0 where u is not kept between steps.
        du_offset: added to the current decay by the hardware.
        membrane_bits: signed width of v, which saturates.
        membrane_symmetric: whether v saturates to ±(2**(bits-1) - 1) rather than to the two's complement range.
        threshold_bits: unsigned width of the threshold mantissa.
        threshold_shift: bits by which the mantissa is shifted to be compared with v.
        threshold_test: `>` or `>=`.
        threshold_per: whether thresholds, decays and weight scales are one per layer or may differ by neuron.
        decay_bits: unsigned width of du and dv; one is 2**12.
        bias_mantissa_bits: signed width of the bias mantissa.
        bias_exponent_max: largest shift of the bias mantissa.
        resets: reset rules of the neuron model.
        edge_delay_min: time steps that every edge costs.
        edge_delay_max: longest delay of an edge in time steps, that cost included.
        message_bits: bits of a graded spike or input value.
        message_signed: whether such a value may be negative.
        silent_readout: whether a neuron can be set not to fire.
        simulation_only: whether no chip computes this arithmetic.
        limits: capacity.
        energy: energy per event.
        sources: field name -> source of its number.
        check_only: whether the description serves `target check` alone: its arithmetic is not verified against the
            chip's own, so nothing may be computed with it.
    """

    name: str
    title: str
    weight_bits: Width
    activation_bits: Width
    activation_shift: Annotated[int, Field(ge=0, le=16)]
    current_bits: Annotated[int, Field(ge=0, le=48)]
    du_offset: Annotated[int, Field(ge=0, le=1)]
    membrane_bits: Annotated[int, Field(ge=2, le=48)]
    membrane_symmetric: bool
    threshold_bits: Width
    threshold_shift: Annotated[int, Field(ge=0, le=16)]
    threshold_test: Literal[">", ">="]
    threshold_per: Literal["layer", "neuron"]
    decay_bits: Annotated[int, Field(ge=0, le=12)]
    bias_mantissa_bits: Width
    bias_exponent_max: Annotated[int, Field(ge=0, le=31)]
    resets: tuple[Literal["hard", "soft"], ...]
    edge_delay_min: Annotated[int, Field(ge=0, le=1)]
    edge_delay_max: Annotated[int, Field(ge=0)]
    message_bits: Width
    message_signed: bool
    silent_readout: bool
    simulation_only: bool
    limits: Limits
    energy: Energy
    sources: Mapping[str, Source]
    check_only: bool = False

    @property
    def weight_range(self) -> tuple[int, int]:
        """Lowest and highest integer weight."""
        half = 1 << (self.weight_bits - 1)
        return -half, half - 1

    @property
    def threshold_max(self) -> int:
        """Largest threshold mantissa."""
        return (1 << self.threshold_bits) - 1

    @property
    def membrane_range(self) -> tuple[int, int]:
        """Lowest and highest value of the membrane v."""
        half = 1 << (self.membrane_bits - 1)
        return (1 - half if self.membrane_symmetric else -half), half - 1

    @property
    def message_range(self) -> tuple[int, int]:
        """Lowest and highest value of one input or graded spike."""
        if self.message_signed:
            half = 1 << (self.message_bits - 1)
            return -half, half - 1
        return 0, (1 << self.message_bits) - 1

    @property
    def rule(self) -> NeuronRule:
        """The arithmetic of this target's neurons.

        Raises:
            ConfigurationError: the target is described for `target check` alone.
        """
        if self.check_only:
            raise ConfigurationError(
                f"target: {self.name} is described for `target check` alone, and nothing computes with its arithmetic; "
                "choose one of loihi2, loihi2-soft, int8"
            )
        return self.declared_rule

    @property
    def declared_rule(self) -> NeuronRule:
        """The arithmetic as the description declares it, verified or not: for proofs, not for results."""
        lowest, highest = self.membrane_range
        return NeuronRule(
            activation_shift=self.activation_shift,
            threshold_shift=self.threshold_shift,
            du_offset=self.du_offset,
            keeps_current=self.current_bits > 0,
            u_half=1 << (self.current_bits - 1) if self.current_bits else 0,
            v_lowest=lowest,
            v_highest=highest,
            threshold_test=self.threshold_test,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `target_from_dict` is the inverse."""
        values = dict(TypeAdapter(TargetSpec).dump_python(self, mode="json"))
        values["limits"] = {
            name: value for name, value in values["limits"].items() if value is not None or name not in _LATER_LIMITS
        }
        return {name: value for name, value in values.items() if name not in _LATER or value != _LATER[name]}


def target_from_dict(values: Mapping[str, Any], *, where: str) -> TargetSpec:
    """A TargetSpec from plain values (as `to_dict` gives them).

    Raises:
        BadFile: fields are missing, unknown or out of range; all of them are named at once.
    """
    return _validated(values, [], where)


def _validated(values: Mapping[str, Any], faults: list[str], where: str) -> TargetSpec:
    """The TargetSpec, unless there are faults: those already found and those of the values."""
    cause: Exception | None = None
    try:
        spec = TypeAdapter(TargetSpec).validate_json(json.dumps(dict(values), default=str))
        if not faults:
            return spec
    except ValidationError as error:
        cause = error
        faults = faults + [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        ]
    raise BadFile(where, f"is not a target description: {'; '.join(faults)}") from cause


def target_names() -> tuple[str, ...]:
    """Names of the shipped targets, sorted."""
    folder = resources.files("neuroprivacy") / "targets"
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def load_target(name: str | Path) -> TargetSpec:
    """A target by its shipped name, or from a TOML file.

    Raises:
        ConfigurationError: no shipped target has that name and it is no file.
        BadFile: the file is not a target description.
    """
    shipped = target_names()
    if str(name) in shipped:
        text, where = (resources.files("neuroprivacy") / "targets" / f"{name}.toml").read_text(), f"{name}.toml"
    elif Path(name).suffix == ".toml":
        where = str(name)
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadFile(name, f"cannot be read ({error})") from error
    else:
        raise ConfigurationError(
            f"target: no target is called {str(name)!r}; choose one of {', '.join(shipped)}, or give a .toml file"
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(where, f"is not valid TOML ({error})") from error
    faults: list[str] = []
    return _validated(_flatten(table, faults), faults, where)


def _flatten(table: dict[str, Any], faults: list[str], within: str = "") -> dict[str, Any]:
    """Split `field = { value, standing, source }` into the field and its source; fields without one go to `faults`."""
    values: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    for key, entry in table.items():
        if key in ("limits", "energy") and isinstance(entry, dict):
            inner = _flatten(entry, faults, f"{key}.")
            sources.update({f"{key}.{name}": source for name, source in inner.pop("sources", {}).items()})
            values[key] = inner
        elif key in _PLAIN:
            values[key] = entry
        else:
            parts = entry if isinstance(entry, dict) else {"value": entry}
            if _PARTS - parts.keys():
                faults.append(f"{within}{key}: lacks {', '.join(sorted(_PARTS - parts.keys()))}")
            if parts.keys() - _PARTS:
                faults.append(f"{within}{key}: has unknown parts {', '.join(sorted(parts.keys() - _PARTS))}")
            if "value" in parts:
                values[key] = parts["value"]
            if {"standing", "source"} <= parts.keys():
                sources[key] = {"standing": parts["standing"], "source": parts["source"]}
    return {**values, "sources": sources}
