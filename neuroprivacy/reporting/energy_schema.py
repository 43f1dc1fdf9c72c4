"""The energy section of a report: what `EnergyReport.to_dict` writes, as far as the page shows it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    """Immutable, finite numbers, further fields allowed."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class EnergyWork(_Part):
    """Work of one inference, means over samples."""

    neurons: int
    firing: int
    spikes: float
    operations: float
    graded_operations: float = 0.0
    updates: float
    update_additions: float = 0.0
    update_multiplications: float = 0.0
    macs: int
    steps: int
    spikes_per_neuron: float
    rate: float
    spikes_per_synapse: float | None = None


class EnergyPair(_Part):
    """ANN and SNN, of one layer or the whole network, under one cost model, joule per inference."""

    name: str
    ann_j: float
    snn_j: float
    updates_j: float
    snn_with_updates_j: float
    ratio: float | None = None
    ratio_with_updates: float | None = None
    rate_model_ratio: float | None = None
    break_even_spikes_per_synapse: float
    break_even_with_updates: float | None = None


class EnergyModel(EnergyPair):
    """The whole network under one cost model, with the model's own constants."""

    title: str
    mac_j: float
    ac_j: float
    leaves_out: str = ""
    source: str = ""


class EnergyLayer(EnergyWork):
    """The work of one layer, and its energy under each cost model."""

    name: str
    models: tuple[EnergyPair, ...] = ()


class EnergyChip(_Part):
    """The SNN under the chip's own figures, joule per inference."""

    name: str
    synaptic_op_j: float
    neuron_update_j: float
    spike_j: float
    synapses_j: float
    updates_j: float
    spikes_j: float
    total_j: float
    leaves_out: str = ""
    sources: tuple[str, ...] = ()


class EnergySection(_Part):
    """Energy of one inference under every cost model at once."""

    samples: int | None = None
    total: EnergyWork
    layers: tuple[EnergyLayer, ...] = ()
    models: tuple[EnergyModel, ...]
    chip: EnergyChip | None = None
    notes: tuple[str, ...] = ()
