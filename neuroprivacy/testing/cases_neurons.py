"""Cases of one neuron: threshold, reset, decay, wrap, saturation, bias. One input, one weight, one rule each."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroprivacy.kernels.neuron import Reset
from neuroprivacy.program import Port
from neuroprivacy.testing.case import Case, edge, layer, network, train


def _neuron(
    name: str,
    rule: str,
    *,
    weight: int,
    steps: list[int],
    target: str = "loihi2",
    graded: bool = False,
    reset: Reset = "hard",
    s: list[int] | None = None,
    v: list[int] | None = None,
    u: list[int] | None = None,
    **constants: Any,
) -> Case:
    """A case of a single neuron; expected lists run over all steps, the latency included."""
    program = network(
        [layer("n", [edge("input", [[weight]], delay=0 if target == "int8" else 1)], reset=reset, **constants)],
        target=target,
        inputs=(Port(name="input", shape=(1,), high=max(steps)),) if graded else None,
    )
    return Case(
        name=name,
        rule=rule,
        program=program,
        spikes=train(*steps),
        expect_spikes={"n": s} if s is not None else {},
        expect_v={"n": v} if v is not None else {},
        expect_u={"n": u} if u is not None else {},
    )


def neuron_cases() -> tuple[Case, ...]:
    """The cases that test neuron rules."""
    soft: Any = {"target": "loihi2-soft", "reset": "soft"}
    return (
        _neuron(
            "threshold_equality_does_not_fire", "z = v > theta: equality does not fire on Loihi",
            weight=10, threshold=10, steps=[1, 1, 0], s=[0, 0, 1, 0], v=[0, 640, 0, 0],
        ),
        _neuron(
            "threshold_one_lsb_above_fires", "z = v > theta: one lsb of v above theta fires",
            weight=10, threshold=10, bias=1, v_init=-1, steps=[1, 0], s=[0, 1, 0], v=[0, 0, 1],
        ),
        _neuron(
            "hard_reset_discards_the_surplus", "v = 0 where z (hard)",
            weight=17, threshold=10, steps=[1, 0, 1, 0], s=[0, 1, 0, 1, 0], v=[0, 0, 0, 0, 0],
        ),
        _neuron(
            "hard_reset_leaves_the_current", "the reset touches v alone, u decays on",
            weight=20, threshold=10, du=2047, steps=[1, 0, 0, 0],
            s=[0, 1, 0, 1, 0], v=[0, 0, 640, 0, 160], u=[0, 1280, 640, 320, 160],
        ),
        _neuron(
            "soft_reset_keeps_the_surplus", "v = v - theta where z (soft), in the same step",
            **soft, weight=17, threshold=10, steps=[1, 0, 1, 0], s=[0, 1, 0, 1, 1], v=[0, 448, 448, 896, 256],
        ),
        _neuron(
            "soft_reset_gives_one_spike_a_step", "at most one spike a step, the rest waits",
            **soft, weight=35, threshold=10, steps=[1, 0, 0, 0], s=[0, 1, 1, 1, 0], v=[0, 1600, 960, 320, 320],
        ),
        _neuron(
            "soft_reset_decays_the_surplus", "beta (v - theta): decay acts on what the reset left",
            **soft, weight=30, threshold=10, dv=2048, steps=[1, 0, 0], s=[0, 1, 0, 0], v=[0, 1280, 640, 320],
        ),
        _neuron(
            "v_decays_toward_zero_from_above", "tz(v (4096 - dv))",
            weight=1, threshold=100, dv=1, steps=[1, 0, 0], s=[0, 0, 0, 0], v=[0, 64, 63, 62],
        ),
        _neuron(
            "v_decays_toward_zero_from_below", "tz(v (4096 - dv)): a negative product is rounded upwards",
            weight=-1, threshold=100, dv=1, steps=[1, 0, 0], s=[0, 0, 0, 0], v=[0, -64, -63, -62],
        ),
        _neuron(
            "v_decay_of_4095_keeps_a_4096th", "dv has no offset: dv = 4095 keeps 1/4096",
            weight=127, threshold=131071, dv=4095, graded=True, steps=[100, 0, 0], v=[0, 812800, 198, 0],
        ),
        _neuron(
            "v_without_decay_is_kept", "dv = 0 keeps v for ever",
            weight=3, threshold=1000, steps=[1, 0, 0, 1], v=[0, 192, 192, 192, 384],
        ),
        _neuron(
            "u_decay_has_an_offset", "du' = du + 1: du = 0 still loses 1/4096 a step",
            weight=127, threshold=131071, du=0, graded=True, steps=[10, 0, 0], u=[0, 81280, 81260, 81240],
        ),
        _neuron(
            "u_of_4095_has_no_memory", "du = 4095: u is this step's input alone",
            weight=-5, threshold=50, du=4095, steps=[1, 0, 1], u=[0, -320, 0, -320], v=[0, -320, -320, -640],
        ),
        _neuron(
            "u_decays_toward_zero_from_below", "tz(u (4096 - du'))",
            weight=-1, threshold=1000, du=1000, steps=[1, 0, 0, 0], u=[0, -64, -48, -36, -27],
        ),
        _neuron(
            "u_wraps_above_24_bits", "u wraps, it does not saturate",
            weight=127, threshold=131071, graded=True, steps=[1100, 0], u=[0, -7836416, 0], v=[0, -7836416, -7836416],
        ),
        _neuron(
            "u_holds_exactly_two_to_the_23", "u lives in (-2**23, 2**23]",
            weight=64, threshold=131071, graded=True, steps=[2048, 0], u=[0, 8388608, 0], s=[0, 1, 0],
        ),
        _neuron(
            "u_wraps_at_minus_two_to_the_23", "u lives in (-2**23, 2**23]: the lower end wraps to the upper",
            weight=-64, threshold=131071, graded=True, steps=[2048, 0], u=[0, 8388608, 0], s=[0, 1, 0],
        ),
        _neuron(
            "u_wraps_only_once", "one conditional wrap: three times 2**23 and more stays outside",
            weight=64, threshold=131071, graded=True, steps=[8192, 0], u=[0, 16777216, 0], s=[0, 1, 0],
        ),
        _neuron(
            "u_wraps_while_decaying", "the wrap comes after decay and input are added",
            weight=64, threshold=131071, du=99, graded=True, steps=[2000, 100, 0],
            u=[0, 8192000, -8375616, -8171133],
        ),
        _neuron(
            "v_saturates_below", "v saturates at -(2**23 - 1)",
            weight=-64, threshold=100, graded=True, steps=[2000, 2000, 1], v=[0, -8192000, -8388607, -8388607],
        ),
        _neuron(
            "v_saturates_before_the_test", "saturation comes before test and reset: v - theta starts at 2**23 - 1",
            **soft, weight=64, threshold=131071, graded=True, steps=[2000, 2000, 0],
            s=[0, 0, 1, 0], v=[0, 8192000, 63, 63],
        ),
        _neuron(
            "bias_enters_v_every_step", "v = ... + u + bias, from step 1",
            weight=1, threshold=100, bias=100, steps=[0, 0], v=[100, 200, 300], u=[0, 0, 0],
        ),
        _neuron(
            "bias_exponent_shifts_the_mantissa", "the effective bias is the mantissa shifted by the exponent",
            weight=1, threshold=100, bias=-3, bias_exponent=6, steps=[1, 0], v=[-192, -320, -512],
        ),
        _neuron(
            "bias_fires_in_its_own_step", "bias is added before the test, not after",
            weight=1, threshold=1, bias=65, steps=[0, 0], s=[1, 1, 1], v=[0, 0, 0],
        ),
        _neuron(
            "v_init_is_the_membrane_before_step_one", "each sample starts with v = v_init",
            weight=1, threshold=10, v_init=600, steps=[1, 0], s=[0, 1, 0], v=[600, 0, 0],
        ),
        _neuron(
            "v_init_decays_in_step_one", "v_init is before step 1: it decays like any v",
            weight=1, threshold=100, dv=2048, v_init=-1001, steps=[0], v=[-500, -250],
        ),
        _neuron(
            "u_init_decays_from_step_one", "each sample starts with u = u_init, which decays like any u",
            weight=1, threshold=100, du=2047, u_init=-1001, steps=[0], u=[-500, -250], v=[-500, -750],
        ),
        _neuron(
            "int8_equality_fires", "z = v >= theta on int8, and no shift",
            target="int8", weight=10, threshold=20, steps=[1, 1, 0, 1], s=[0, 1, 0, 0], v=[10, 0, 0, 10],
        ),
        _neuron(
            "int8_soft_reset_at_equality", "soft reset on int8",
            target="int8", reset="soft", weight=25, threshold=20, steps=[1, 1, 0], s=[1, 1, 0], v=[5, 10, 10],
        ),
        _neuron(
            "int8_keeps_no_current", "u is not kept on int8: du is ignored",
            target="int8", weight=7, threshold=100, du=0, steps=[1, 0, 0], u=[7, 0, 0], v=[7, 7, 7],
        ),
        _neuron(
            "int8_decays_toward_zero", "tz on int8",
            target="int8", weight=-7, threshold=100, dv=1000, steps=[1, 0, 0], v=[-7, -5, -3],
        ),
        _neuron(
            "int8_saturates_at_32_bits", "v saturates to the two's complement range of the target",
            target="int8", weight=1, threshold=100, bias=-(2**31), steps=[0, 0], v=[-(2**31), -(2**31)],
        ),
        _readout_case(),
        _thresholds_by_neuron(),
    )  # fmt: skip


def _readout_case() -> Case:
    """A case for readout layers: neurons that never fire are not reset."""
    program = network(
        [layer("n", [edge("input", [[9], [-4]], delay=0)], threshold=1, fires=False)],
        target="int8",
        readout="membrane",
    )
    return Case(
        name="silent_readout_only_integrates",
        rule="a non-firing layer is read by its membrane",
        program=program,
        spikes=train(1, 1, 0, 1),
        expect_spikes={"n": [[0, 0]] * 4},
        expect_v={"n": [[9, -4], [18, -8], [18, -8], [27, -12]]},
    )


def _thresholds_by_neuron() -> Case:
    """Per-neuron constants where the target has them."""
    program = network(
        [layer("n", [edge("input", [[6], [6]], delay=0)], threshold=[6, 12], dv=[0, 2048])],
        target="int8",
    )
    return Case(
        name="int8_constants_by_neuron",
        rule="threshold_per = neuron",
        program=program,
        spikes=train(1, 1, 1, 0),
        expect_spikes={"n": np.array([[1, 0], [1, 0], [1, 0], [0, 0]]).tolist()},
        expect_v={"n": [[0, 6], [0, 9], [0, 10], [0, 5]]},
    )
