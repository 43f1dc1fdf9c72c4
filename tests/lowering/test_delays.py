"""Latencies against plain relaxation, on random graphs with loops, delays and several outputs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy.core.errors import DoesNotFit
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import LowerOptions
from neuroprivacy.lowering.ir import RealConnection, RealLayer, RealMap, RealNetwork
from neuroprivacy.lowering.options import LoweringContext
from neuroprivacy.lowering.passes.balance_delays import balance_delays
from neuroprivacy.program import Port
from neuroprivacy.targets.spec import load_target

Connections = list[tuple[int, int, int]]
ONE, ZERO = np.ones(1), np.zeros(1)


def context(target: str) -> LoweringContext:
    return LoweringContext(options=LowerOptions(), info=GraphInfo(), target=load_target(target), weight_bits=8)


def network(count: int, connections: Connections, outputs: list[int], readout: Any = "spike_count") -> RealNetwork:
    """Layers of one neuron, each fed by the input; connections as (source, target, model delay)."""
    weight = RealMap(weight=np.ones((1, 1)))
    layers = [
        RealLayer(
            name=f"n{i}", shape=(1,),
            connections=(
                RealConnection(source="input", map=weight),
                *(RealConnection(source=f"n{a}", map=weight, model_delay=m) for a, b, m in connections if b == i),
            ),
            bias=ZERO, threshold=ONE, alpha=ZERO, beta=ONE, u_start=ZERO, v_start=ZERO, reset="hard",
        )
        for i in range(count)
    ]  # fmt: skip
    names = tuple(f"n{i}" for i in outputs)
    return RealNetwork(
        inputs=(Port(name="input", shape=(1,)),), layers=tuple(layers), outputs=names, readout=readout, dt_s=1e-3
    )


def relaxed(count: int, connections: Connections) -> list[int] | None:
    """The smallest latencies on a target whose connections cost 1; None if a loop never settles."""
    latency = [1] * count
    for _ in range(count + 1):
        before = list(latency)
        for a, b, m in connections:
            latency[b] = max(latency[b], latency[a] + 1 - m)
        if latency == before:
            return latency
    return None


@given(
    st.integers(1, 6).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1), st.integers(0, 3)), max_size=12),
        )
    )
)
def test_latencies_are_the_smallest_that_every_connection_allows(case: tuple[int, Connections]) -> None:
    count, connections = case
    wanted = relaxed(count, connections)
    if wanted is None:
        with pytest.raises(DoesNotFit, match=r"the loop n\d.* on this target, more than the network delays it"):
            balance_delays(network(count, connections, [count - 1]), context("loihi2"))
        return
    found = balance_delays(network(count, connections, [count - 1]), context("loihi2"))
    assert [found.latencies[f"n{i}"] for i in range(count)] == wanted
    for layer in found.layers:
        for connection in layer.connections:
            late = found.latencies[layer.name] - found.latencies[connection.source]
            assert connection.delay == late + connection.model_delay >= 1


def test_a_membrane_readout_has_the_latency_of_the_deepest_output() -> None:
    chain: Connections = [(1, 2, 0), (2, 3, 0)]
    spikes = balance_delays(network(4, chain, [0, 3]), context("loihi2"))
    assert spikes.output_latencies == (1, 3)
    membrane = balance_delays(network(4, chain, [0, 3], readout="membrane"), context("loihi2"))
    assert membrane.output_latencies == (3, 3)
    assert membrane.layers[0].connections[0].delay == 3


def test_connections_without_cost_have_their_model_delay() -> None:
    found = balance_delays(network(3, [(0, 1, 0), (1, 2, 2), (2, 2, 1)], [2]), context("int8"))
    assert set(found.latencies.values()) == {0}
    assert [[c.delay for c in layer.connections] for layer in found.layers] == [[0], [0, 0], [0, 2, 1]]
