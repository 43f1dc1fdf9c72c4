"""Numbers: thresholds decide like the real ones, widths hold or are reported, silent readouts are proved."""

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy.core.errors import ConfigurationError, DoesNotFit, OutOfRange, UnsupportedNode
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.lowering.discretize import derive_dt
from neuroprivacy.lowering.layer_ranges import activation_bounds
from neuroprivacy.runtime.backend import check_inputs
from neuroprivacy.targets.spec import TargetSpec, load_target, target_from_dict

TARGETS = {name: load_target(name) for name in ("loihi2", "int8")}


def custom(base: str = "loihi2", **changes: object) -> TargetSpec:
    return target_from_dict({**TARGETS[base].to_dict(), "name": "custom", **changes}, where="test")


def one_neuron(weight: float, theta: float) -> nir.NIRGraph:
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "fc": nir.Linear(weight=np.array([[weight]])),
        "n": nir.IF(r=np.ones(1), v_threshold=np.array([theta]), v_reset=np.zeros(1)),
        "output": nir.Output({"output": np.array([1])}),
    }
    return nir.NIRGraph(nodes=nodes, edges=[("input", "fc"), ("fc", "n"), ("n", "output")])


def decides(threshold: int, units: int, target: TargetSpec) -> bool:
    """What the chip decides for a membrane of that many weight units."""
    return units > threshold if target.threshold_test == ">" else units >= threshold


#: Whole, half and other numbers of units; within 1e-9 of a whole number is that number (float32 knows no better).
FACTORS = (
    st.integers(1, 900)
    | st.integers(2, 1800).map(lambda n: n / 2)
    | st.floats(1, 900).filter(lambda f: abs(f - round(f)) > 1e-8 * f)
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@given(weight=st.floats(1e-6, 1e6), factor=FACTORS)
def test_a_threshold_decides_like_the_real_one(name: str, weight: float, factor: float) -> None:
    """For every whole number of weight units around it; also where it is a whole number of them itself."""
    target = TARGETS[name]
    unit = weight / 127
    layer = lower(one_neuron(weight, factor * unit), target=target).program.layers[0]
    (scale,), (threshold,) = layer.scale, layer.threshold.tolist()
    assert scale == pytest.approx(unit, rel=1e-12)
    middle = int(factor)
    for units in range(max(middle - 4, 0), middle + 5):
        assert decides(threshold, units, target) == (units > factor), (units, factor, threshold)


@pytest.mark.parametrize(("name", "expected"), [("loihi2", [2, 2, 3, 3]), ("int8", [3, 3, 4, 4])])
def test_the_floor_rule(name: str, expected: list[int]) -> None:
    """`>`: floor(θ/s); `>=`: floor(θ/s) + 1. The network itself fires above θ, never at it."""
    found = [
        lower(one_neuron(127.0, theta), target=name).program.layers[0].threshold.item()
        for theta in (2.0, 2.999, 3.0, 3.5)
    ]
    assert found == expected


def test_a_threshold_below_one_unit_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="n: the threshold is smaller than one integer weight step; rescale the layer"):
        lower(one_neuron(127.0, 0.5), target="loihi2")


def test_a_threshold_beyond_its_width_coarsens_the_scale() -> None:
    layer = lower(one_neuron(1.0, 5000.0), target="loihi2").program.layers[0]
    assert layer.scale[0] >= 5000 / (2**17 - 2)
    assert layer.scale[0] == pytest.approx(5000 / (2**17 - 2), rel=0.02)
    assert layer.threshold.item() <= 2**17 - 1
    assert layer.edges[0].map.weight.item() == round(1 / layer.scale[0])


def test_weights_that_all_round_to_zero_are_refused(maker) -> None:
    small = custom(threshold_bits=4)
    with pytest.raises(DoesNotFit, match="n: every weight rounds to zero at the scale that custom's widths need"):
        lower(one_neuron(1.0, 100.0), target=small)
    lower(one_neuron(1.0, 10.0), target=small)


def test_decay_and_bias_in_integers(maker, lowered) -> None:
    graph = maker.chain(
        3, {"fc": maker.linear(2, 3, bias=[1.5, -0.25]), "n": maker.neurons(2, theta=100.0, beta=0.9)}, 2
    )
    layer = lowered(graph).program.layers[0]
    assert layer.dv.tolist() == [round(0.1 * 4096)]
    assert layer.du.tolist() == [4095]
    assert layer.bias.tolist() == [96, -16]
    assert lowered(graph, "int8").program.layers[0].bias.tolist() == [2, 0]


def test_a_leak_towards_a_potential_is_a_bias(maker, lowered) -> None:
    node = maker.neurons(1, theta=300.0, beta=0.75)
    node.v_leak = np.array([8.0])
    layer = lowered(maker.chain(1, {"fc": nir.Linear(weight=np.array([[127.0]])), "n": node}, 1)).program.layers[0]
    assert layer.bias.tolist() == [round(0.25 * 8 * 64)]


def test_large_biases_use_the_exponent_and_then_are_refused(maker, lowered) -> None:
    def with_bias(value: float) -> nir.NIRGraph:
        return maker.chain(3, {"fc": maker.linear(2, 3, bias=[value, 0]), "n": maker.neurons(2)}, 2)

    layer = lowered(with_bias(1000.0)).program.layers[0]
    assert layer.bias.tolist() == [64_000, 0]
    assert layer.bias_exponent == 4
    # Beyond the largest exponent the scale gives way: coarser weights rather than a wrong bias ...
    layer = lowered(with_bias(10_000.0)).program.layers[0]
    assert int(layer.bias.max()) <= 4095 << 7
    assert layer.scale[0] * int(layer.bias.max()) / 64 == pytest.approx(10_000.0, rel=1e-3)
    # ... until nothing is left of the weights.
    with pytest.raises(DoesNotFit, match="n: every weight rounds to zero"):
        lowered(with_bias(1e8))


def test_constants_may_differ_by_neuron_only_where_the_target_has_them(maker, lowered) -> None:
    node = maker.neurons(3, theta=np.array([100.0, 200, 300]))
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": node}, 3)
    assert lowered(graph, "int8").program.layers[0].threshold.tolist() == [101, 201, 301]
    leaky = maker.neurons(3, beta=0.9)
    leaky.tau = leaky.tau * np.array([1, 2, 3])
    leaky.r = leaky.r * np.array([1, 2, 3])
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": leaky}, 3)
    message = r"n: decay differs by neuron \(0.9 \.\.\. 0.966667\), loihi2 has one per layer; accept their mean"
    with pytest.raises(UnsupportedNode, match=message):
        lowered(graph, dt_s=1e-4)
    accepted = lowered(graph, dt_s=1e-4, constants="mean")
    assert accepted.program.layers[0].dv.tolist() == [round((0.1 + 0.05 + 0.1 / 3) / 3 * 4096)]
    assert "the membrane decays of 0.9 ... 0.9667 a step become 0.9389" in str(accepted.diagnostics[0])


def test_thresholds_that_differ_are_scaled_to_one(maker, lowered, ran) -> None:
    """The same spikes: each neuron's weights carry its threshold's share."""
    node = maker.neurons(3, theta=np.array([100.0, 200, 400]))
    fc = nir.Affine(weight=np.array([[25.0, 7], [127, -50], [100, 4]]), bias=np.array([10.0, 0, 8]))
    program = lowered(maker.chain(2, {"fc": fc, "n": node}, 3)).program
    assert program.layers[0].threshold.size == 1
    x = maker.spikes(2, 40, 2)
    flat = lowered(maker.chain(2, {"fc": fc, "n": node}, 3), "int8").program
    np.testing.assert_array_equal(ran(program, x).spikes["n"], ran(flat, x).spikes["n"])
    assert len(set(program.layers[0].scale)) == 3


def test_the_input_gain_goes_into_the_weights(maker, lowered) -> None:
    node = maker.neurons(2)
    node.r = node.r * np.array([1.0, 0.5])
    graph = maker.chain(2, {"fc": nir.Linear(weight=np.array([[127.0, 10], [127, 20]])), "n": node}, 2)
    layer = lowered(graph, dt_s=1e-4).program.layers[0]
    np.testing.assert_array_equal(layer.edges[0].map.weight[0], [127, 10])
    np.testing.assert_array_equal(np.rint(np.array([63.5, 10])), layer.edges[0].map.weight[1])


def wide(maker, sources: int = 300) -> nir.NIRGraph:
    nodes = {"fc": nir.Linear(weight=np.full((2, sources), 127.0)), "n": maker.neurons(2, theta=1000.0)}
    return maker.chain(sources, nodes, 2)


def test_sums_that_could_exceed_16_bits_give_diagnostics_and_strict_refuses(maker, lowered) -> None:
    found = lowered(wide(maker))
    (issue,) = found.diagnostics
    text = "n: the largest possible synaptic sum (38100) exceeds 32767; the declared width holds unless most sources"
    assert str(issue).startswith(text)
    assert not issue.fatal
    with pytest.raises(OutOfRange, match=r"n: the largest possible synaptic sum \(38100\) exceeds 32767"):
        lowered(wide(maker), strict=True)
    assert not lowered(wide(maker, 258)).diagnostics
    assert not lowered(wide(maker), "int8", strict=True).diagnostics


def test_graded_input_counts_in_the_audit(maker, lowered) -> None:
    nodes = {"fc": nir.Linear(weight=np.array([[127.0, 127.0], [-127, 3]])), "n": maker.neurons(2, theta=9.0)}
    found = lowered(maker.chain(2, nodes, 2, info=GraphInfo(coding="direct", time_steps=4)))
    layer = found.program.layers[0]
    assert activation_bounds(layer, {"input": (0, 255)}) == (254 * 255, -127 * 255)[::-1]
    assert found.diagnostics[0].value == 254 * 255
    # One unit of the input is worth 1/255: the threshold is in those units.
    assert layer.threshold.item() == 9 * 255


def test_signed_values_count_on_both_sides(maker, signed_target: TargetSpec) -> None:
    nodes = {"fc": nir.Linear(weight=np.array([[127.0, -127.0]])), "n": maker.neurons(1, theta=900.0)}
    graph = maker.chain(2, nodes, 1, info=GraphInfo(coding="poisson-signed", time_steps=4))
    layer = lower(graph, target=signed_target).program.layers[0]
    assert activation_bounds(layer, {"input": (-1, 1)}) == (-254, 254)


def readout(maker, sources: int, *, info: GraphInfo | None = None) -> nir.NIRGraph:
    return maker.chain(sources, {"fc": nir.Linear(weight=np.full((1, sources), 127.0))}, 1, info=info)


def test_a_silent_readout_is_proved_for_the_steps_that_it_says(maker, lowered, ran) -> None:
    program = lowered(readout(maker, 10), dt_s=1.0, time_steps=20).program
    layer = program.layers[0]
    # 1270 units a step, a threshold of 131071 units, one step of latency.
    assert program.max_steps == 131071 // 1270 - 1 == 102
    worst = np.ones((1, 102, 10), np.int64)
    assert ran(program, worst).readout.item() == 102 * 1270 * 64 <= layer.threshold.item() * 64
    with pytest.raises(ConfigurationError, match=r"input: 103 steps exceed 102, for which .* lower it again with more"):
        check_inputs(program, np.ones((1, 103, 10), np.int64))
    assert lowered(readout(maker, 10), "int8", dt_s=1.0).program.max_steps is None


@pytest.mark.parametrize("steps", [110, 200])
def test_more_steps_coarsen_the_readouts_scale_until_it_stays_silent(steps: int, maker, lowered, ran) -> None:
    program = lowered(readout(maker, 10), dt_s=1.0, time_steps=steps).program
    layer = program.layers[0]
    assert layer.scale[0] > 1
    assert program.max_steps >= steps
    worst = ran(program, np.ones((1, program.max_steps, 10), np.int64))
    assert 0 < worst.readout.item() <= layer.threshold.item() * 64
    assert layer.edges[0].map.weight.max() == round(127 / layer.scale[0])


def test_a_readout_that_cannot_be_silent_is_refused(maker, lowered) -> None:
    with pytest.raises(
        (OutOfRange, DoesNotFit), match=r"fc: (a readout that must not fire is proved for|every weight)"
    ):
        lowered(readout(maker, 10), dt_s=1.0, time_steps=10**6)


def test_the_proof_holds_for_signed_values(maker, signed_target: TargetSpec, ran) -> None:
    weight = np.where(np.arange(10) % 2, 127.0, -127.0)[np.newaxis]
    info = GraphInfo(coding="poisson-signed", time_steps=30, dt_s=1.0)
    program = lower(maker.chain(10, {"fc": nir.Linear(weight=weight)}, 1, info=info), target=signed_target).program
    assert program.max_steps == 102
    result = ran(program, np.tile(np.sign(weight).astype(np.int64), (1, 102, 1)))
    assert result.readout.item() == 102 * 1270 * 64


def test_the_proof_uses_the_targets_own_shifts(maker, ran) -> None:
    flat = custom(activation_shift=0, threshold_shift=0)
    program = lower(readout(maker, 10), target=flat, options=LowerOptions(dt_s=1.0, time_steps=20)).program
    assert program.max_steps == 131071 // 1270 - 1
    assert ran(program, np.ones((1, 102, 10), np.int64)).readout.item() == 102 * 1270


def test_what_is_not_finite_is_refused(maker, lowered) -> None:
    for weight in (np.nan, np.inf):
        graph = readout(maker, 3)
        graph.nodes["fc"].weight[0, 1] = weight
        with pytest.raises(UnsupportedNode, match="fc: weight holds a value that is not finite"):
            lowered(graph, dt_s=1.0)


def test_all_zero_weights_are_refused(maker, lowered) -> None:
    graph = readout(maker, 3)
    graph.nodes["fc"].weight[:] = 0
    with pytest.raises(DoesNotFit, match="fc: all weights are zero; remove the layer"):
        lowered(graph, dt_s=1.0)


def test_the_time_step_is_derived_or_asked_for(maker, lowered) -> None:
    graph = maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3, beta=0.8)}, 3)
    assert derive_dt(graph) == (pytest.approx(1e-4), ())
    program = lowered(graph).program
    assert program.layers[0].dv.tolist() == [round(0.2 * 4096)]
    assert program.provenance["dt_s"] == pytest.approx(1e-4)
    slower = lowered(graph, dt_s=5e-5).program.layers[0]
    assert slower.dv.tolist() == [round(0.1 * 4096)]
    stated = maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3, beta=0.8)}, 3, info=GraphInfo(dt_s=5e-5))
    assert lowered(stated).program.layers[0].dv.tolist() == [round(0.1 * 4096)]
    mixed = maker.chain(
        4, {"a": maker.linear(3, 4), "n": maker.neurons(3), "b": maker.linear(3, 3), "m": maker.neurons(3)}, 3
    )
    mixed.nodes["m"].r = mixed.nodes["m"].r * 2
    with pytest.raises(ConfigurationError, match=r"dt: the graph does not say its time step .*; give --dt"):
        lowered(mixed)
    assert lowered(readout(maker, 2)).program.layers[0].dv.tolist() == [0]  # nothing in it knows time
    slow = maker.chain(4, {"fc": maker.linear(3, 4), "n": maker.neurons(3, beta=0.8)}, 3)
    slow.nodes["n"].r = slow.nodes["n"].r * np.array([1, 2, 3])
    found = lowered(slow)
    assert found.program.provenance["dt_s"] == pytest.approx(5e-5)
    assert str(found.diagnostics[0]).startswith("dt: the graph states no time step; 5e-05 s is a tenth of its smallest")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt_s": 0.0}, "dt: 0.0 s is not a positive"), ({"dt_s": -1.0}, "dt: "), ({"dt_s": float("nan")}, "dt: "),
        ({"time_steps": 0}, "time steps: 0 is below 1"),
    ],
)  # fmt: skip
def test_impossible_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        LowerOptions(**options)


@pytest.mark.parametrize("bits", [1, 9, "binary", True])
def test_weight_bits_that_the_target_does_not_have_are_refused(bits: object, maker, lowered) -> None:
    with pytest.raises(ConfigurationError, match=rf"weight bits: '?{bits}'? is (not in 2 \.\.\. 8 of loihi2|neither)"):
        lowered(readout(maker, 2), dt_s=1.0, weight_bits=bits)
