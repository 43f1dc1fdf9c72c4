"""The first divergence of two runs: where it is, and why; each cause by a network built to have it."""

from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError, OutOfRange
from neuroprivacy.divergence import trace
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import Lowered, LowerOptions, lower
from neuroprivacy.targets.spec import load_target
from neuroprivacy.testing.random_graphs import random_graph

DT = 1e-3


def chain(weight: Any, node: Any, *, inputs: int, reset: Any = "hard") -> nir.NIRGraph:
    outputs = len(np.asarray(weight))
    return nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([inputs])}), "fc": nir.Linear(weight=np.asarray(weight, np.float64)),
            "n": node, "output": nir.Output({"output": np.array([outputs])}),
        },
        edges=[("input", "fc"), ("fc", "n"), ("n", "output")], metadata=GraphInfo(dt_s=DT, reset=reset).to_metadata(),
        type_check=False,
    )  # fmt: skip


def fire(n: int, theta: float) -> nir.IF:
    return nir.IF(r=np.full(n, 1 / DT), v_threshold=np.full(n, theta), v_reset=np.zeros(n))


def train(*steps: int, size: int = 1) -> dict[str, np.ndarray]:
    return {"input": np.repeat(np.array(steps, np.int64)[None, :, None], size, axis=2)}


def first(lowered: Lowered, inputs: dict[str, np.ndarray], between: tuple[str, str] = ("float", "reference")) -> Any:
    found = trace(lowered, between=between, inputs=inputs)
    assert found.first is not None
    return found.first


def test_equal_networks_never_part() -> None:
    lowered = lower(chain([[127.0, -64]], fire(1, 300.0), inputs=2), target="loihi2")
    found = trace(lowered, between=("float", "reference"), inputs=train(1, 1, 0, 1, 1, 1, size=2))
    assert found.identical
    assert found.sentence() == "float and reference agree in every known quantity: 1 samples of 6 steps on loihi2."
    assert found.layers[0].differing == 0


def test_rounded_weights_are_found_and_named() -> None:
    # 2 bits of weight: 1.0 and 0.4 become 1 and 0.
    graph = chain([[1.0, 0.4]], fire(1, 1.3), inputs=2)
    at = first(lower(graph, target="loihi2", options=LowerOptions(weight_bits="ternary")), train(0, 1, 1, size=2))
    assert (at.step, at.layer, at.neuron, at.quantity, at.values) == (1, "n", 0, "spikes", (1.0, 0.0))
    assert at.causes[0] == "rounding of the weights"


def test_a_rounded_threshold() -> None:
    """One unit is 1.0: a threshold of 126.5 becomes 126, and a leak lets the membrane stop at 126.02."""
    node = nir.LIF(tau=np.full(1, 2 * DT), r=np.full(1, 2.0), v_leak=np.zeros(1), v_threshold=np.full(1, 126.5))
    lowered = lower(chain([[127.0, 63, 1]], node, inputs=3), target="loihi2")
    x = np.zeros((1, 9, 3), np.int64)
    x[0, :7, 1], x[0, 6, 2] = 1, 1
    at = first(lowered, {"input": x})
    assert (at.step, at.values) == (6, (0.0, 1.0))
    assert at.causes == ("rounding of the threshold",)


def overflowing() -> nir.NIRGraph:
    """Currents that add up: 40 sources of 127 units through a synapse that forgets a thousandth a step."""
    one = np.ones(1)
    node = nir.CubaLIF(
        tau_syn=1000 * DT * one, tau_mem=2 * DT * one, r=2 * one, v_leak=0 * one, v_threshold=60_000 * one,
        w_in=1000 * one,
    )  # fmt: skip
    return chain(np.full((1, 40), 127.0), node, inputs=40)


def test_a_network_built_to_overflow_is_predicted_traced_and_refused() -> None:
    lowered = lower(overflowing(), target="loihi2", options=LowerOptions(time_steps=60))
    predicted = [str(issue) for issue in lowered.diagnostics if "current" in issue.what]
    assert any("n: the largest possible current" in text and "would wrap" in text for text in predicted)
    with pytest.raises(OutOfRange, match="n: the largest possible current"):
        lower(overflowing(), target="loihi2", options=LowerOptions(time_steps=60, strict=True))
    at = first(lowered, train(*[1] * 60, size=40))
    assert (at.layer, at.neuron) == ("n", 0)
    assert at.causes[0] == "wrap of the current"
    assert trace(lowered, between=("float", "reference"), inputs=train(*[1] * 60, size=40)).layers[0].wraps


def test_a_membrane_that_saturates() -> None:
    graph = chain([[127.0, -127]], fire(1, 100.0), inputs=2)
    small = replace(load_target("loihi2"), membrane_bits=16)
    lowered = lower(graph, target=small)
    # 20 steps down saturate at -2**15; up again the integers are there too early.
    x = np.zeros((1, 60, 2), np.int64)
    x[0, :20, 1], x[0, 20:, 0] = 1, 1
    at = first(lowered, {"input": x})
    assert at.causes[0] == "saturation of the membrane"


def test_a_bias_that_cannot_be_aligned_is_bias_timing() -> None:
    graph = chain([[127.0]], fire(1, 300.0), inputs=1)
    two = dict(graph.nodes)
    two["fc2"] = nir.Affine(weight=np.array([[127.0]]), bias=np.array([30.0]))
    two["m"] = fire(1, 100.0)
    edges = [("input", "fc"), ("fc", "n"), ("n", "fc2"), ("fc2", "m"), ("m", "output")]
    lowered = lower(nir.NIRGraph(nodes=two, edges=edges, metadata=graph.metadata, type_check=False), target="loihi2")
    broken = replace(
        lowered,
        program=replace(lowered.program, layers=tuple(replace(n, v_init=0 * n.v_init) for n in lowered.program.layers)),
    )
    at = first(broken, train(0, 0, 0, 0))
    assert at.layer == "m"
    assert at.causes[0].startswith("bias timing")


def test_a_wrong_delay_is_delay() -> None:
    lowered = lower(chain([[127.0]], fire(1, 100.0), inputs=1), target="loihi2")
    (layer,) = lowered.program.layers
    late = replace(layer, edges=(replace(layer.edges[0], delay=2),))
    broken = replace(lowered, program=replace(lowered.program, layers=(late,)))
    at = first(broken, train(0, 1, 0, 0))
    assert at.step == 1
    assert at.causes[0].startswith("delay or order")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_backends_agree_and_runs_are_symmetric(seed: int) -> None:
    drawn = random_graph(seed, target=("loihi2", "loihi2-soft", "int8")[seed % 3], steps=20)
    assert trace(drawn.lowered, between=("reference", "fixedpoint"), inputs=drawn.spikes).identical
    forth = trace(drawn.lowered, between=("float", "fixedpoint"), inputs=drawn.spikes)
    back = trace(drawn.lowered, between=("reference", "float"), inputs=drawn.spikes)
    if forth.first is None:
        assert back.first is None
        return
    assert back.first is not None
    assert (forth.first.step, forth.first.layer, forth.first.causes) == (
        back.first.step, back.first.layer, back.first.causes,
    )  # fmt: skip
    assert forth.first.values == back.first.values[::-1]


def test_a_changed_state_of_a_backend_is_found_before_its_spikes(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroprivacy.divergence import runs

    drawn = random_graph(4, target="loihi2", steps=20)
    true_run = runs.run_reference

    def faulty(program: Any, inputs: Any, *, record: Any) -> Any:
        """The reference with one current changed."""
        result = true_run(program, inputs, record=record)
        name = program.layers[0].name
        result.states_u[name][0, 7, 1] += 1
        return result

    monkeypatch.setattr(runs, "run_reference", faulty)
    at = first(drawn.lowered, drawn.spikes, ("fixedpoint", "reference"))
    assert (at.quantity, at.layer, at.neuron) == ("u", drawn.lowered.program.layers[0].name, 1)
    assert at.causes == ("the synaptic sum, its delay, the current decay or a wrap differs",)


def test_runs_that_do_not_exist() -> None:
    lowered = lower(chain([[127.0]], fire(1, 100.0), inputs=1), target="loihi2")
    with pytest.raises(ConfigurationError, match="trace: float is compared with itself; name two different runs"):
        trace(lowered, between=("float", "float"), inputs=train(1))
    with pytest.raises(ConfigurationError, match="trace: 'chip' is no run; choose two of float, torch, reference"):
        trace(lowered, between=("float", "chip"), inputs=train(1))
    with pytest.raises(ConfigurationError, match="trace: torch needs one of our checkpoints"):
        trace(lowered, between=("float", "torch"), inputs=train(1))
