"""The list of passes: its order, its types, and that every pass is in it."""

import pkgutil
from typing import get_type_hints

import nir
import numpy as np
import pytest

import neuroprivacy.lowering.passes
from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.lowering import PASSES, Lowered, LowerOptions, quantized_network, real_network, scheduled_network
from neuroprivacy.lowering.ir import QuantizedNetwork, RealNetwork, ScheduledNetwork
from neuroprivacy.targets.spec import load_target


def test_every_pass_stands_after_what_it_requires() -> None:
    done: set[str] = set()
    for each in PASSES:
        assert set(each.requires) <= done, f"{each.name} requires {set(each.requires) - done}"
        done.add(each.name)
    assert len(done) == len(PASSES)


def test_every_pass_is_called_as_its_function() -> None:
    assert [each.name for each in PASSES] == [each.run.__name__ for each in PASSES]


def test_every_file_of_the_passes_is_in_the_list() -> None:
    files = {module.name for module in pkgutil.iter_modules(neuroprivacy.lowering.passes.__path__)}
    assert files == {each.name for each in PASSES} - {"quantize"}


def test_every_pass_takes_what_the_one_before_gives() -> None:
    """An optional pass gives its own stage: the next one cannot tell whether it ran."""
    given: type = nir.NIRGraph
    for each in PASSES:
        hints = get_type_hints(each.run)
        ir, _ = (kind for name, kind in hints.items() if name != "return")
        assert issubclass(given, ir), f"{each.name} takes {ir.__name__}, the pass before gives {given.__name__}"
        assert each.when is None or hints["return"] is ir
        given = hints["return"]
    assert given is Lowered


def test_a_part_of_the_list_gives_its_stage(maker) -> None:
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3)}, 3)
    options, target = LowerOptions(dt_s=1e-4), load_target("loihi2")
    real = real_network(graph, options=options)
    assert type(real) is RealNetwork
    assert real.dt_s == 1e-4
    scheduled = scheduled_network(graph, target=target, options=options)
    assert type(scheduled) is ScheduledNetwork
    assert scheduled.latencies == {"input": 0, "n": 1}
    quantized = quantized_network(graph, target=target, options=options)
    assert type(quantized) is QuantizedNetwork
    (connection,) = quantized.layer("n").connections
    assert connection.q_weight.shape == connection.map.weight.shape == (3, 4)
    assert connection.delay == 1


def test_stages_keep_the_fields_of_the_stage_before(maker) -> None:
    graph = maker.chain(4, {"fc": maker.linear(3, 4, bias=[1.0, -2, 3]), "n": maker.neurons(3)}, 3)
    options = LowerOptions(dt_s=1e-4)
    real = real_network(graph, options=options)
    quantized = quantized_network(graph, target=load_target("int8"), options=options)
    (one,), (other,) = real.layers, quantized.layers
    for name in ("name", "shape", "reset", "fires"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("bias", "threshold", "alpha", "beta", "u_start", "v_start", "state_scale"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.connections[0].map.weight, other.connections[0].map.weight)


def test_integer_weights_have_the_shape_of_the_real_ones(maker) -> None:
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3)}, 3)
    network = quantized_network(graph, target=load_target("int8"), options=LowerOptions(dt_s=1e-4))
    (connection,) = network.layers[0].connections
    with pytest.raises(ValueError, match=r"input: q_weight \(3, 4\) is not \(3, 3\)"):
        type(connection)(
            source="input", map=type(connection.map)(weight=connection.map.weight[:, :3]), delay=1,
            q_weight=connection.q_weight,
        )  # fmt: skip


def test_shapes_are_those_of_the_graph_reader(maker) -> None:
    """A graph made in memory meets the same refusal as one that was read from a file."""
    conv = maker.conv(maker.weights(2, 3, 3, 3), (5, 5))
    graph = maker.chain((2, 5, 5), {"c": conv, "n": maker.neurons(1)}, 2)
    with pytest.raises(UnsupportedNode, match=r"c: takes 3 channels and gets 2"):
        real_network(graph, options=LowerOptions(dt_s=1e-4))
