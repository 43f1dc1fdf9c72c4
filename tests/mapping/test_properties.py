"""Placing random networks on random chips: every neuron once, every count as the matrices say, no limit in silence."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuroprivacy.mapping import Core, Placement, demand_of, place
from neuroprivacy.mapping.split import match_layers
from neuroprivacy.program import Program, unroll
from neuroprivacy.targets.spec import Limits
from neuroprivacy.testing.random_programs import RandomCase
from neuroprivacy.testing.strategies import programs

Matrix = NDArray[np.int64]
CASES = programs(max_layers=4, max_neurons=20, max_steps=1, max_samples=1)


def room(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(low, high)


CHIPS = st.builds(
    Limits,
    cores=st.integers(1, 40),
    neurons_per_core=room(1, 30),
    synapse_bits_per_core=room(8, 4000),
    axons_in=room(1, 60),
    axons_out=room(1, 60),
    synapse_bits=room(1, 16),
)


def paths(program: Program) -> dict[str, list[tuple[str, Matrix]]]:
    """Layer -> (source, how many synapses lead from each source neuron to each of its neurons), zeros included."""
    found: dict[str, list[tuple[str, Matrix]]] = {}
    for layer in program.layers:
        for edge in layer.edges:
            written = unroll(dataclasses.replace(edge.map, weight=np.ones_like(edge.map.weight)))
            matrix = np.zeros(written.shape, np.int64)
            np.add.at(matrix, (written.rows, written.columns), 1)
            found.setdefault(layer.name, []).append((edge.source, matrix))
    return found


def neurons(program: Program, core: Core) -> Matrix:
    return demand_of(program.layer(core.layer)).order[core.first : core.last]


def placed_on(case: RandomCase, limits: Limits) -> tuple[Program, Placement]:
    spec = dataclasses.replace(case.program.target, limits=limits)
    return case.program, place(case.program, target=spec)


@pytest.mark.slow
@settings(max_examples=60)
@given(CASES, CHIPS)
def test_every_neuron_is_placed_once_and_every_limit_holds_or_is_named(case: RandomCase, limits: Limits) -> None:
    program, placed = placed_on(case, limits)
    for layer in program.layers:
        held = [neurons(program, core) for core in placed.cores if core.layer == layer.name]
        assert sorted(np.concatenate(held)) == list(range(layer.size))
    named = {(issue.where, issue.what.split(" of one core")[0]) for issue in placed.issues}
    words = {"neurons": "neurons", "memory_bits": "synapse memory", "axons_in": "axons in", "axons_out": "axons out"}
    for core in placed.cores:
        for resource, share in core.shares.items():
            assert share <= 1 or (core.layer, words[resource]) in named, (core, placed.issues)
    assert limits.cores is not None
    over = ("network", "cores") in {(issue.where, issue.what) for issue in placed.issues}
    assert over == (len(placed.cores) > limits.cores)
    assert placed.fits == (not any(issue.fatal for issue in placed.issues))


@pytest.mark.slow
@settings(max_examples=60)
@given(CASES, CHIPS)
def test_every_count_is_that_of_the_matrices(case: RandomCase, limits: Limits) -> None:
    program, placed = placed_on(case, limits)
    matrices = paths(program)
    bits = limits.synapse_bits or program.target.weight_bits
    for core in placed.cores:
        own = neurons(program, core)
        assert core.synapses == sum(int(matrix[own].sum()) for _, matrix in matrices[core.layer])
        assert core.memory_bits == core.synapses * bits
        assert core.axons_in == sum(int(matrix[own].any(axis=0).sum()) for _, matrix in matrices[core.layer])
        assert core.axons_out == sum(
            int(matrix[neurons(program, other)].any(axis=0)[own].sum())
            for other in placed.cores
            for source, matrix in matrices[other.layer]
            if source == core.layer
        )
    for use, layer in zip(placed.layers, program.layers, strict=True):
        total = sum(matrix.sum(axis=1) for _, matrix in matrices[layer.name])
        assert (use.fan_in, use.synapses) == (int(np.max(total)), int(np.sum(total)))
        leaving = [m.sum(axis=0) for into in matrices.values() for source, m in into if source == layer.name]
        assert use.fan_out == int(np.max(sum(leaving))) if leaving else use.fan_out == 0


@pytest.mark.slow
@settings(max_examples=40)
@given(CASES, CHIPS)
def test_no_part_could_be_longer(case: RandomCase, limits: Limits) -> None:
    """Feed-forward and without output axons, where what a layer sends does not depend on the cut."""
    program, placed = placed_on(case, dataclasses.replace(limits, axons_out=None))
    for layer in program.layers:
        parts = [core for core in placed.cores if core.layer == layer.name]
        demand = demand_of(layer)
        alone = {"neurons": 1, "memory_bits": 0, "axons_in": int(demand.sources.max())}
        bits = limits.synapse_bits or program.target.weight_bits
        alone["memory_bits"] = int(demand.fan_in.max()) * bits
        for core in parts[:-1]:
            longer = {
                "neurons": core.neurons + 1,
                "memory_bits": int(demand.fan_in[demand.order[core.first : core.last + 1]].sum()) * bits,
                "axons_in": demand.axons_in(core.first, core.last + 1),
            }
            assert any(longer[name] > limit >= alone[name] for name, limit in core.limits.items())


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=6),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=5),
)
def test_as_many_layers_as_possible_get_a_core(needs: list[tuple[int, int]], cores: list[tuple[int, int]]) -> None:
    seats = match_layers(needs, [bits for bits, _ in cores], [count for _, count in cores])
    taken = [seat for seat in seats if seat is not None]
    assert len(set(taken)) == len(taken)
    for need, seat in zip(needs, seats, strict=True):
        assert seat is None or (need[0] <= cores[seat][0] and need[1] <= cores[seat][1])

    def best(layer: int, free: frozenset[int]) -> int:
        if layer == len(needs):
            return 0
        fits = [c for c in free if needs[layer][0] <= cores[c][0] and needs[layer][1] <= cores[c][1]]
        return max([best(layer + 1, free), *(1 + best(layer + 1, free - {c}) for c in fits)])

    assert len(taken) == best(0, frozenset(range(len(cores))))
