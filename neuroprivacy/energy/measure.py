"""From a Program and the counts of a run to an EnergyReport."""

from __future__ import annotations

import numpy as np

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.energy.costs import COST_MODELS, chip_costs
from neuroprivacy.energy.macs import layer_macs
from neuroprivacy.energy.model import ChipEnergy, EnergyReport, ModelEnergy
from neuroprivacy.energy.notes import notes
from neuroprivacy.energy.work import LayerWork, Work, total_work
from neuroprivacy.kernels.neuron import DECAY_ONE
from neuroprivacy.program import Layer, Port, Program
from neuroprivacy.runtime.counts import Counts


def measure_energy(program: Program, *, counts: Counts, samples: int) -> EnergyReport:
    """Energy of one inference under every cost model, with what each leaves out.

    The equations are those of `neuroprivacy.energy.model`. Operations whose source is a graded input port
    (`direct` coding: the value has to be multiplied by the weight) are charged as MACs, all others as ACs.

    Args:
        program: what ran.
        counts: of the run, from any backend; arrays of several runs may have been added up.
        samples: how many inferences `counts` holds.

    Raises:
        ConfigurationError: `counts` are of another Program, or `samples` is impossible.
    """
    names = [layer.name for layer in program.layers]
    if list(counts.layers) != names:
        raise ConfigurationError(
            f"energy: the counts are of layers {', '.join(counts.layers)}, the program has {', '.join(names)}"
        )
    rows = max(len(layer.spikes) for layer in counts.layers.values())
    if samples < rows or samples < 1:
        raise ConfigurationError(f"energy: {samples} samples were named, the counts hold {rows}")
    macs = layer_macs(program)
    graded = {port.name for port in program.inputs if is_graded(port)}
    layers = tuple(
        LayerWork(
            name=layer.name,
            work=_layer_work(program, layer, counts=counts, samples=samples, macs=macs[layer.name], graded=graded),
        )
        for layer in program.layers
    )
    total = total_work(layers, steps=counts.steps)
    costs = chip_costs(program.target)
    return EnergyReport(
        samples=samples,
        layers=layers,
        total=total,
        models=tuple(ModelEnergy(model=model, work=total) for model in COST_MODELS),
        chip=ChipEnergy(costs=costs, work=total) if costs else None,
        notes=notes(program, total=total, chip=costs),
    )


def is_graded(port: Port) -> bool:
    """Whether a port's values have to be multiplied by weights.

    Values of -1, 0 and 1 only add or subtract them: an AC (as NeuroBench counts it).
    """
    return port.high > 1 or port.low < -1


def _layer_work(program: Program, layer: Layer, *, counts: Counts, samples: int, macs: int, graded: set[str]) -> Work:
    """Work of one layer, mean over samples."""
    seen = counts.layers[layer.name]
    multiplied = [done for edge, done in zip(layer.edges, seen.edge_operations, strict=True) if edge.source in graded]
    per_neuron = seen.updates.sum() / layer.size / samples
    rule = program.target.rule
    leaky = _neurons(layer.dv != 0, layer)
    # A current that decays fully within a step is the synaptic input itself: nothing to add or multiply.
    currents = _neurons(layer.du + rule.du_offset < DECAY_ONE, layer) if rule.keeps_current else 0
    return Work(
        neurons=layer.size,
        firing=layer.size if layer.fires else 0,
        spikes=float(seen.spikes.sum() / samples),
        operations=float(seen.operations.sum() / samples),
        graded_operations=float(sum(int(done.sum()) for done in multiplied) / samples),
        updates=float(seen.updates.sum() / samples),
        update_additions=float(per_neuron * (layer.size + currents)),
        update_multiplications=float(per_neuron * (leaky + currents)),
        macs=macs,
        steps=counts.steps,
    )


def _neurons(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], layer: Layer) -> int:
    """Number of neurons that a mask of shape (1,) or (neurons,) selects."""
    return int(np.broadcast_to(mask, (layer.size,)).sum())
