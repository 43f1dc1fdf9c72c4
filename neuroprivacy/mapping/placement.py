"""The result of `place`: cores, layers, totals and exceeded limits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from neuroprivacy.core.errors import Issue

#: Resources of a core, in the order of a table: attribute of `Core` -> name.
RESOURCES = {"neurons": "neurons", "memory_bits": "synapse memory", "axons_in": "axons in", "axons_out": "axons out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One core and the neurons placed on it.

    Attributes:
        index: of the core; an index from the chip's number of cores on is a core of a further chip.
        layer: whose neurons it holds; small layers do not share a core.
        first: its first neuron, in the order of `Demand.order`: position by position where a layer has channels.
        last: the neuron after its last.
        synapses: into these neurons, convolutions unrolled.
        memory_bits: memory of its weights, bits.
        axons_in: its sources.
        axons_out: pairs of one of its neurons and a target core of that neuron.
        limits: resource -> capacity of the core; public figures alone.
    """

    index: int
    layer: str
    first: int
    last: int
    synapses: int
    memory_bits: int
    axons_in: int
    axons_out: int
    limits: dict[str, int]

    @property
    def neurons(self) -> int:
        """Number of neurons on this core."""
        return self.last - self.first

    @property
    def shares(self) -> dict[str, float]:
        """Resource -> share of the core's own that is used."""
        return {name: getattr(self, name) / limit for name, limit in self.limits.items()}

    @property
    def fullest(self) -> tuple[str, float]:
        """The resource that is used most, and its share; ("", 0) where no limit is public."""
        return max(self.shares.items(), key=lambda item: item[1], default=("", 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """Cores and resources that one layer uses.

    Attributes:
        name: of the layer.
        neurons: in it.
        synapses: into it, convolutions unrolled.
        weights: distinct weights, as a convolution shares them.
        memory_bits: memory of its weights on all its cores, bits.
        fan_in: most synapses into one neuron.
        fan_out: most synapses that one spike touches.
        axons_in: most sources of one of its cores; without cores, all its sources.
        axons_out: most axons that leave one of its cores; 0 where there are no cores.
        delay_slots: longest delay of its events beyond the one step that every edge costs.
        cores: that it takes.
    """

    name: str
    neurons: int
    synapses: int
    weights: int
    memory_bits: int
    fan_in: int
    fan_out: int
    axons_in: int
    axons_out: int
    delay_slots: int
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """The use of a resource: on the whole chip, or on its fullest core.

    Attributes:
        name: in words.
        used: amount.
        limit: capacity; None where no figure is public.
        standing: of the limit; empty without one.
        source: of the limit.
        unit: bits, bytes, or empty for a count.
    """

    name: str
    used: int
    limit: int | None = None
    standing: str = ""
    source: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The estimated placement of a network on a chip.

    Attributes:
        target: name of the chip.
        title: the chip in words.
        chip_cores: cores of one chip; 0 where it has none or their number is not public.
        layers: in the Program's order.
        cores: used ones, by index; none where the chip has no cores.
        uses: totals, and the fullest core for each of its limits.
        issues: exceeded limits (fatal if published or chosen) and diagnostics.
        notes: assumptions of the estimate.
    """

    target: str
    title: str
    chip_cores: int
    layers: tuple[LayerUse, ...]
    cores: tuple[Core, ...]
    uses: tuple[Use, ...]
    issues: tuple[Issue, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether no published or chosen limit is exceeded."""
        return not any(issue.fatal for issue in self.issues)

    @property
    def totals(self) -> dict[str, tuple[int, int | None]]:
        """Resource name -> (used, limit), over the whole chip."""
        return {use.name: (use.used, use.limit) for use in self.uses}

    @property
    def doubtful(self) -> bool:
        """Whether a limit is exceeded whose value comes from a secondary source only."""
        return any(not issue.fatal and issue.limit is not None for issue in self.issues)

    def sentence(self) -> str:
        """Whether the network fits, in one line."""
        number = len(self.cores)
        where = f"{number} {'core' if number == 1 else 'cores'}" if self.cores else self.layers_words()
        fatal = sum(issue.fatal for issue in self.issues)
        if fatal:
            return f"It does not fit {self.target}: {fatal} {'thing is' if fatal == 1 else 'things are'} in the way."
        if self.doubtful:
            return f"It may not fit {self.target}: it takes {where}, and exceeds limits that are secondary figures."
        return f"It fits {self.target} on {where}."

    def layers_words(self) -> str:
        """The number of layers, for a chip without cores."""
        number = len(self.layers)
        return f"one processor, {number} {'layer' if number == 1 else 'layers'}"

    def describe(self) -> dict[str, Any]:
        """The placement as values that JSON can hold."""
        return {
            "target": self.target,
            "title": self.title,
            "fits": self.fits,
            "doubtful": self.doubtful,
            "sentence": self.sentence(),
            "chip_cores": self.chip_cores,
            "layers": [asdict(layer) for layer in self.layers],
            "cores": [
                {**asdict(core), "neurons": core.neurons, "fullest": core.fullest[0], "share": core.fullest[1]}
                for core in self.cores
            ],
            "uses": [asdict(use) for use in self.uses],
            "issues": [{**asdict(issue), "text": str(issue)} for issue in self.issues],
            "notes": list(self.notes),
        }
