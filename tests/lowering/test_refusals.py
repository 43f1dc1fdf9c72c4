"""What has no integer form is refused by the name of its node, with what to do."""

from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import DoesNotFit, NeuroPrivacyError, OutOfRange, UnsupportedNode
from neuroprivacy.graph import GraphInfo

ONES = np.ones(3)


def refused(lowered: Any, graph: nir.NIRGraph, message: str, target: str = "loihi2", **options: Any) -> None:
    with pytest.raises(NeuroPrivacyError, match=message) as caught:
        lowered(graph, target, dt_s=1e-4, **options)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, UnsupportedNode | DoesNotFit | OutOfRange)


def test_nodes_that_nir_does_not_know(maker, lowered) -> None:
    class Odd(nir.NIRNode):
        """A node of somebody's own."""

        def __init__(self) -> None:
            self.input_type = {"input": np.array([3])}
            self.output_type = {"output": np.array([3])}

    graph = maker.chain(4, {"fc": maker.linear(3, 4), "odd": Odd()}, 3)
    refused(lowered, graph, "odd: Odd is not supported; replace it by a supported node")


@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
def test_real_values_cannot_be_sent(kind: str, maker, lowered) -> None:
    node = {
        "I": nir.I(r=ONES), "LI": nir.LI(tau=ONES, r=ONES, v_leak=0 * ONES),
        "CubaLI": nir.CubaLI(tau_syn=ONES, tau_mem=ONES, r=ONES, v_leak=0 * ONES),
    }[kind]  # fmt: skip
    nodes = {"a": maker.linear(3, 4), "odd": node, "b": maker.linear(3, 3), "n": maker.neurons(3)}
    refused(lowered, maker.chain(4, nodes, 3), f"odd: {kind} gives real values and a chip sends spikes; only an output")


def test_synaptic_currents_where_the_target_keeps_none(maker, lowered) -> None:
    node = nir.CubaLIF(tau_syn=ONES, tau_mem=ONES, r=ONES, v_leak=0 * ONES, v_threshold=ONES)
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": node}, 3)
    refused(lowered, graph, "n: keeps a synaptic current, int8 does not; choose --target loihi2", target="int8")


def test_nested_graphs_that_are_ambiguous(maker, lowered) -> None:
    inner = maker.graph(
        {"a": 3, "b": 3}, {"n": maker.neurons(3)}, [("a", "n"), ("b", "n"), ("n", "output")], {"output": 3}
    )
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "sub": inner}, 3)
    refused(lowered, graph, "sub: a nested graph with 2 inputs and 1 outputs cannot be joined by edges")


@pytest.mark.slow
def test_what_would_be_too_large_when_multiplied_out(maker, lowered) -> None:
    nodes = {
        "a": nir.Linear(weight=np.ones((2**12, 2))), "b": nir.Linear(weight=np.ones((2**12 + 1, 2**12))),
        "n": maker.neurons(2**12 + 1),
    }  # fmt: skip
    lowered(maker.chain(2, nodes, 2**12 + 1), dt_s=1e-4)
    wide = {
        "c": nir.Linear(weight=np.ones((2, 2**23 + 1))),
        "d": nir.Linear(weight=np.ones((2, 2))),
        "n": maker.neurons(2),
    }
    lowered(maker.chain(2**22, {**wide, "c": nir.Linear(weight=np.ones((2, 2**22)))}, 2), dt_s=1e-4)
    refused(lowered, maker.chain(2**23 + 1, wide, 2), "d: has to be unrolled to 2 x 8388609 weights, the limit is")


def test_pools_that_do_not_fit(maker, lowered) -> None:
    def graph(pool: Any, shape: Any = (1, 4, 4)) -> nir.NIRGraph:
        nodes = {"pool0": pool, "c": maker.conv(maker.weights(2, 1, 1, 1), (2, 2)), "n": maker.neurons(2, 2, 2)}
        return maker.chain(shape, nodes, (2, 2, 2))

    pool = maker.pool(nir.AvgPool2d, (2, 2))
    refused(lowered, graph(pool, shape=16), r"pool0: a pool reads \(channels, height, width\), its source has shape")
    refused(lowered, graph(maker.pool(nir.AvgPool2d, (5, 5))), "pool0: the pool .* is larger than its input")


def test_convolutions_that_do_not_fit(maker, lowered) -> None:
    def graph(node: Any, shape: Any = (2, 5, 5)) -> nir.NIRGraph:
        return maker.chain(shape, {"c": node, "n": maker.neurons(1, 3, 3)}, (1, 3, 3))

    refused(lowered, graph(maker.conv(maker.weights(1, 3, 3, 3), (5, 5))), "c: reads 3 channels, its source has 2")
    refused(lowered, graph(maker.conv(maker.weights(1, 2, 7, 7), (5, 5))), "c: the kernel .* is larger than")
    refused(lowered, graph(maker.conv(maker.weights(1, 2, 3, 3), None), shape=50), "c: a convolution reads")
    refused(lowered, graph(maker.conv(maker.weights(1, 2, 2, 2), (5, 5))), "c: gives 16 values to 9 neurons")


def test_soft_reset_where_the_target_has_none(maker, lowered) -> None:
    nodes = {"fc": maker.linear(3, 4), "n": maker.neurons(3)}
    graph = maker.chain(4, nodes, 3, info=GraphInfo(reset="soft"))
    refused(
        lowered, graph,
        "n: the soft reset does not exist on loihi2; retrain with --reset hard, or choose --target loihi2-soft",
    )  # fmt: skip
    for target in ("loihi2-soft", "int8"):
        assert lowered(graph, target).program.layers[0].reset == "soft"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"reset_to": 300.0}, r"n: threshold \(0 above the reset\) is not positive; rescale the layer"),
        ({"theta": 0.0}, r"n: threshold \(0 above the reset\) is not positive; rescale the layer"),
        ({"theta": -2.0}, r"n: threshold \(-2 above the reset\) is not positive"),
    ],
)
def test_neurons_that_cannot_be_lowered(node: dict, message: str, maker, lowered) -> None:
    refused(lowered, maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3, **node)}, 3), message)


def test_a_time_constant_below_the_time_step(maker, lowered) -> None:
    leaky = maker.neurons(3, beta=0.5)
    leaky.tau = leaky.tau / 4
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": leaky}, 3)
    refused(lowered, graph, r"n: tau \(5e-05 s\) is shorter than dt \(0\.0001 s\); give a smaller --dt")


def test_a_soft_reset_to_somewhere(maker, lowered) -> None:
    nodes = {"fc": maker.linear(3, 4), "n": maker.neurons(3, reset_to=-1.0)}
    graph = maker.chain(4, nodes, 3, info=GraphInfo(reset="soft"))
    refused(lowered, graph, r"n: subtracts its threshold, yet states a value to reset to \(-1\)", target="int8")


def test_graphs_that_lead_nowhere(maker, lowered) -> None:
    nodes = {"fc": maker.linear(3, 4), "n": maker.neurons(3)}
    fed = [("input", "fc"), ("fc", "n")]
    refused(lowered, maker.graph({"input": 4}, nodes, fed, {}), "graph: nothing leads to an output")
    refused(
        lowered, maker.graph({"input": 4}, nodes, [("n", "output"), ("input", "fc")], {"output": 3}), "nothing feeds it"
    )
    refused(
        lowered, maker.graph({"input": 4}, nodes, [*fed, ("n", "output"), ("ghost", "n")], {"output": 3}),
        "graph: the edge ghost -> n joins a node that does not exist",
    )  # fmt: skip
    refused(
        lowered, maker.graph({"input": 4}, nodes, [*fed, ("input", "output")], {"output": 4}),
        "input: an input cannot be an output; put neurons between",
    )  # fmt: skip
    loop = {**nodes, "a": maker.linear(3, 3), "b": maker.linear(3, 3)}
    refused(
        lowered,
        maker.graph({"input": 4}, loop, [*fed, ("n", "output"), ("a", "b"), ("b", "a"), ("b", "n")], {"output": 3}),
        "linear nodes form a cycle without a neuron",
    )
