"""What has no integer form is refused by the name of its node, with what to do."""

from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy.errors import DoesNotFit, NeuroPrivacyError, OutOfRange, UnsupportedNode
from neuroprivacy.graph import GraphInfo

ONES = np.ones(3)


def refused(lowered: Any, graph: nir.NIRGraph, message: str, target: str = "loihi2", **options: Any) -> None:
    with pytest.raises(NeuroPrivacyError, match=message) as caught:
        lowered(graph, target, dt_s=1e-4, **options)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, UnsupportedNode | DoesNotFit | OutOfRange)


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (nir.Threshold(threshold=ONES), "Threshold"),
        (nir.CubaLIF(tau_syn=ONES, tau_mem=ONES, r=ONES, v_leak=0 * ONES, v_threshold=ONES), "CubaLIF"),
        (nir.LI(tau=ONES, r=ONES, v_leak=0 * ONES), "LI"),
        (nir.Delay(delay=ONES), "Delay"),
        (nir.Scale(scale=ONES), "Scale"),
    ],
)  # fmt: skip
def test_nodes_that_are_not_supported(node: Any, kind: str, maker, lowered) -> None:
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "odd": node}, 3)
    refused(lowered, graph, f"odd: {kind} is not supported; replace it by a supported node")


def test_subgraphs(maker, lowered) -> None:
    inner = maker.chain(3, {"n": maker.neurons(3)}, 3)
    refused(lowered, maker.chain(4, {"fc": maker.linear(3, 4), "sub": inner}, 3), "sub: NIRGraph is not supported")


def test_two_linears_in_a_row(maker, lowered) -> None:
    nodes = {"a": maker.linear(5, 4), "b": maker.linear(3, 5), "n": maker.neurons(3)}
    refused(
        lowered, maker.chain(4, nodes, 3),
        "b: follows the linear layer a without neurons between; multiply them into one",
    )  # fmt: skip


def test_neurons_without_a_linear_layer(maker, lowered) -> None:
    nodes = {"a": maker.linear(3, 4), "n": maker.neurons(3), "m": maker.neurons(3)}
    refused(lowered, maker.chain(4, nodes, 3), "no linear layer leads from here to the next neurons; add one")


def test_a_pool_without_a_linear_layer(maker, lowered) -> None:
    nodes = {"pool": maker.pool(nir.AvgPool2d, (2, 2)), "n": maker.neurons(1, 2, 2)}
    refused(lowered, maker.chain((1, 4, 4), nodes, (1, 2, 2)), "pool: no linear layer leads from here")


def test_a_pool_behind_its_linear_layer(maker, lowered) -> None:
    nodes = {
        "c": maker.conv(maker.weights(1, 1, 1, 1), (4, 4)), "pool": maker.pool(nir.AvgPool2d, (2, 2)),
        "n": maker.neurons(1, 2, 2),
    }  # fmt: skip
    refused(lowered, maker.chain((1, 4, 4), nodes, (1, 2, 2)), "pool: a pool must be followed by a linear layer")


def test_pools_that_cannot_be_folded(maker, lowered) -> None:
    weight = maker.weights(2, 1, 1, 1)

    def graph(*pools: Any, shape: Any = (1, 4, 4)) -> nir.NIRGraph:
        nodes = {f"pool{i}": pool for i, pool in enumerate(pools)}
        nodes |= {"c": maker.conv(weight, (2, 2)), "n": maker.neurons(2, 2, 2)}
        return maker.chain(shape, nodes, (2, 2, 2))

    pool = maker.pool(nir.AvgPool2d, (2, 2))
    refused(lowered, graph(maker.pool(nir.AvgPool2d, (2, 2), padding=1)), "pool0: a padded pool cannot be folded")
    refused(lowered, graph(pool, maker.pool(nir.SumPool2d, (1, 1))), "pool1: follows another pool; make them one")
    refused(lowered, graph(pool, shape=16), r"pool0: a pool reads \(channels, height, width\), its source has shape")
    refused(lowered, graph(maker.pool(nir.AvgPool2d, (5, 5))), "pool0: the pool .* is larger than its input")


def test_convolutions_that_do_not_fit(maker, lowered) -> None:
    def graph(node: Any, shape: Any = (2, 5, 5)) -> nir.NIRGraph:
        return maker.chain(shape, {"c": node, "n": maker.neurons(1, 3, 3)}, (1, 3, 3))

    even = maker.conv(maker.weights(1, 2, 2, 3), (5, 5), padding="same")
    refused(lowered, graph(even), "c: 'same' padding of an even kernel is not the same on both sides")
    refused(lowered, graph(maker.conv(maker.weights(1, 3, 3, 3), (5, 5))), "c: reads 3 channels, its source has 2")
    refused(lowered, graph(maker.conv(maker.weights(1, 2, 7, 7), (5, 5))), "c: the kernel .* is larger than")
    refused(lowered, graph(maker.conv(maker.weights(1, 2, 3, 3), None), shape=50), "c: a convolution reads")
    refused(lowered, graph(maker.conv(maker.weights(1, 2, 2, 2), (5, 5))), "c: gives 16 values to 9 neurons")
    uneven = maker.neurons(1, 3, 3)
    uneven.r = uneven.r * np.linspace(1, 2, 9).reshape(1, 3, 3)
    nodes = {"c": maker.conv(maker.weights(1, 2, 3, 3), (5, 5)), "n": uneven}
    refused(lowered, maker.chain((2, 5, 5), nodes, (1, 3, 3)), "the input gain differs between neurons of one channel")


def test_soft_reset_where_the_target_has_none(maker, lowered) -> None:
    nodes = {"fc": maker.linear(3, 4), "n": maker.neurons(3)}
    graph = maker.chain(4, nodes, 3, info=GraphInfo(reset="soft"))
    refused(
        lowered, graph,
        "n: the soft reset does not exist on loihi2; retrain with --reset zero, or choose --target loihi2-soft",
    )  # fmt: skip
    for target in ("loihi2-soft", "int8"):
        assert lowered(graph, target).program.layers[0].reset == "soft"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"reset_to": -1.0}, "n: resets to 1; only a reset to 0 can be lowered"),
        ({"theta": 0.0}, r"n: threshold \(0\) is not positive; rescale the layer"),
        ({"theta": -2.0}, r"n: threshold \(-2\) is not positive"),
    ],
)
def test_neurons_that_cannot_be_lowered(node: dict, message: str, maker, lowered) -> None:
    refused(lowered, maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3, **node)}, 3), message)


def test_a_time_constant_below_the_time_step(maker, lowered) -> None:
    leaky = maker.neurons(3, beta=0.5)
    leaky.tau = leaky.tau / 4
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": leaky}, 3)
    refused(lowered, graph, r"n: tau \(5e-05 s\) is shorter than dt \(0\.0001 s\); give a smaller --dt")


def test_grouped_convolutions_cannot_read_a_split_input(maker, lowered) -> None:
    nodes = {"c": maker.conv(maker.weights(2, 1, 3, 3), (5, 5), groups=2), "n": maker.neurons(2, 3, 3)}
    graph = maker.chain((2, 5, 5), nodes, (2, 3, 3), info=GraphInfo(coding="poisson-signed", steps=4))
    refused(lowered, graph, "input: a grouped convolution cannot read a signed input; use --coding poisson")


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
    flat = {**nodes, "flat": maker.flatten(3)}
    refused(
        lowered, maker.graph({"input": 4}, flat, [*fed, ("n", "flat"), ("flat", "output")], {"output": 3}),
        "flat: Flatten cannot be an output; end in neurons or a linear layer",
    )  # fmt: skip
    loop = {**nodes, "a": maker.linear(3, 3), "b": maker.linear(3, 3)}
    refused(
        lowered,
        maker.graph({"input": 4}, loop, [*fed, ("n", "output"), ("a", "b"), ("b", "a"), ("b", "n")], {"output": 3}),
        "linear nodes form a cycle without a neuron",
    )
