"""The equations: from counted work to joule, per inference.

    E_ANN        = MACs · E_MAC
    E_SNN        = AC operations · E_AC + MAC operations · E_MAC
    E_updates    = additions · E_AC + multiplications · (E_MAC - E_AC)
    ratio        = E_ANN / E_SNN                     above 1 the SNN is cheaper, below 1 the ANN is
    rate model   = (E_MAC / E_AC) / N                N: mean spikes per neuron and inference
    break-even   = E_MAC / E_AC                      spikes per synapse and inference where both cost the same
    with updates = (MACs · E_MAC - E_updates) / (MACs · E_AC)
    E_chip       = operations · E_synapse + updates · E_neuron + spikes · E_spike

Source: rate model and N: Kim, Venkatesha and Panda, AAAI 2022, after Rueckauer et al. 2017; break-even:
Dampfhoffer et al., IEEE TETCI 7(3), 2023, without memory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from neuroprivacy.core.storage import plain
from neuroprivacy.energy.costs import ChipCosts, CostModel
from neuroprivacy.energy.record import ChipRecord, EnergyRecord, LayerRecord, ModelRecord, PairRecord, WorkRecord
from neuroprivacy.energy.work import LayerWork, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEnergy:
    """Energy of ANN and SNN under one cost model."""

    model: CostModel
    work: Work

    @property
    def ann_j(self) -> float:
        """Energy of the ANN, joule per inference."""
        return self.work.macs * self.model.mac_j

    @property
    def snn_j(self) -> float:
        """The SNN's synaptic operations, joule per inference."""
        graded = self.work.graded_operations
        return (self.work.operations - graded) * self.model.ac_j + graded * self.model.mac_j

    @property
    def updates_j(self) -> float:
        """The SNN's neuron updates, joule per inference."""
        work = self.work
        return work.update_additions * self.model.ac_j + work.update_multiplications * self.model.multiply_j

    @property
    def ratio(self) -> float | None:
        """ANN over SNN, synapses alone; None where nothing was spent."""
        return self.ann_j / self.snn_j if self.snn_j else None

    @property
    def ratio_with_updates(self) -> float | None:
        """Energy of the ANN over that of the SNN, neuron updates included."""
        spent = self.snn_j + self.updates_j
        return self.ann_j / spent if spent else None

    @property
    def rate_model_ratio(self) -> float | None:
        """PrivateSNN's own estimate (E_MAC/E_AC)/N; None where nothing fired."""
        n = self.work.spikes_per_neuron
        return self.break_even / n if n else None

    @property
    def break_even(self) -> float:
        """Spikes per synapse and inference at which ANN and SNN cost the same, synapses alone."""
        return self.model.mac_j / self.model.ac_j

    @property
    def break_even_with_updates(self) -> float | None:
        """The same with neuron updates paid first; negative where they alone cost more than the ANN."""
        if not self.work.macs:
            return None
        return (self.ann_j - self.updates_j) / (self.work.macs * self.model.ac_j)

    def values(self) -> dict[str, Any]:
        """The fields of `PairRecord`, as the report stores them."""
        return {
            "name": self.model.name,
            "ann_j": self.ann_j,
            "snn_j": self.snn_j,
            "updates_j": self.updates_j,
            "snn_with_updates_j": self.snn_j + self.updates_j,
            "ratio": self.ratio,
            "ratio_with_updates": self.ratio_with_updates,
            "rate_model_ratio": self.rate_model_ratio,
            "break_even_spikes_per_synapse": self.break_even,
            "break_even_with_updates": self.break_even_with_updates,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipEnergy:
    """Energy of the SNN under the chip's own figures, joule per inference."""

    costs: ChipCosts
    work: Work

    def record(self) -> ChipRecord:
        """As it is written."""
        synapses_j = self.work.operations * self.costs.synaptic_op_j
        updates_j = self.work.updates * self.costs.neuron_update_j
        spikes_j = self.work.spikes * self.costs.spike_j
        return ChipRecord(
            **asdict(self.costs), synapses_j=synapses_j, updates_j=updates_j, spikes_j=spikes_j,
            total_j=synapses_j + updates_j + spikes_j,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = plain(self.record())
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReport:
    """Energy of one inference under every cost model at once.

    Attributes:
        samples: over how many the means go.
        layers: work per layer; `total` is their sum.
        models: ANN and SNN under each cost model.
        chip: the SNN under the chip's own figures; None where the target has none.
        notes: what the figures leave out, to be shown wherever one of them is.
    """

    samples: int
    layers: tuple[LayerWork, ...]
    total: Work
    models: tuple[ModelEnergy, ...]
    chip: ChipEnergy | None
    notes: tuple[str, ...]

    def layer_models(self, layer: LayerWork) -> tuple[ModelEnergy, ...]:
        """Energy of one layer under each cost model."""
        return tuple(ModelEnergy(model=model.model, work=layer.work) for model in self.models)

    def record(self) -> EnergyRecord:
        """As it is written."""
        return EnergyRecord(
            samples=self.samples,
            total=WorkRecord(**self.total.values()),
            layers=tuple(
                LayerRecord(
                    name=layer.name, **layer.work.values(),
                    models=tuple(PairRecord(**model.values()) for model in self.layer_models(layer)),
                )
                for layer in self.layers
            ),
            models=tuple(ModelRecord(**{**asdict(each.model), **each.values()}) for each in self.models),
            chip=self.chip.record() if self.chip else None,
            notes=self.notes,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = plain(self.record())
        return values
