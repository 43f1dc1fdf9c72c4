"""Support of every NIR primitive on every target, measured; writes `docs/reference/primitives.md`.

    python -m tools.primitives [--check]

Each primitive is part of a small network whose weights are exact on the target, so that only the primitive is rounded.
"exact": spikes and states of 200 steps are those of the float network. "rounded": some differ, with the share of
differing spikes. "refused": the message.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np

from neuroprivacy.core.errors import NeuroPrivacyError
from neuroprivacy.core.storage import write_text
from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.runtime.backend import Record, check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import load_target

DT_S = 1e-3
STEPS = 200
TARGETS = ("loihi2", "loihi2-soft", "int8")
Nodes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitive:
    """A primitive in a network of its own.

    Attributes:
        name: of the NIR class.
        how: how it is lowered, in a few words.
        nodes: input shape and weight generator -> nodes in a row, named; an edge `("a", "b")` may be added by `extra`.
        shape: of the input.
        extra: edges beside the row.
        inputs: how many inputs the first node has.
    """

    name: str
    how: str
    nodes: Callable[[np.random.Generator], Nodes]
    shape: tuple[int, ...] = (6,)
    extra: tuple[tuple[str, str], ...] = ()
    two_inputs: bool = False
    two_outputs: bool = False


def _w(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    weight = rng.integers(-60, 128, shape).astype(np.float64)
    weight.flat[0] = 127
    return weight


def _fire(*shape: int, theta: float = 300.0) -> Any:
    one = np.ones(shape)
    return nir.IF(r=one / DT_S, v_threshold=theta * one, v_reset=0 * one)


def _lif(*shape: int, theta: float = 300.0) -> Any:
    one = np.ones(shape)
    return nir.LIF(tau=10 * DT_S * one, r=10 * one, v_leak=0 * one, v_threshold=theta * one, v_reset=0 * one)


def _cuba(*shape: int, theta: float = 900.0) -> Any:
    one = np.ones(shape)
    return nir.CubaLIF(
        tau_syn=4 * DT_S * one, tau_mem=10 * DT_S * one, r=10 * one, v_leak=0 * one, v_threshold=theta * one,
        v_reset=0 * one, w_in=4 * one,
    )  # fmt: skip


def _linear(rng: np.random.Generator, outputs: int = 5, inputs: int = 6) -> Any:
    return nir.Linear(weight=_w(rng, outputs, inputs))


def _conv2d(rng: np.random.Generator, **options: Any) -> Any:
    given = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, **options}
    return nir.Conv2d(input_shape=(5, 6), weight=_w(rng, 4, 2 // given["groups"], 2, 3), bias=np.zeros(4), **given)


PRIMITIVES: tuple[Primitive, ...] = (
    Primitive(name="Input, Output", how="ports; event counts with --input-max",
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5)}),
    Primitive(name="Linear", how="dense map", nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5)}),
    Primitive(name="Affine", how="dense map and bias",
              nodes=lambda rng: {"fc": nir.Affine(weight=_w(rng, 5, 6), bias=np.arange(-2.0, 3)), "n": _fire(5)}),
    Primitive(name="Linear, Linear", how="multiplied out, rounded as one map",
              nodes=lambda rng: {"a": nir.Linear(weight=np.eye(6)[:4]), "fc": _linear(rng, 5, 4), "n": _fire(5)}),
    Primitive(name="Scale", how="factor of the weights beside it",
              nodes=lambda rng: {"fc": _linear(rng), "s": nir.Scale(scale=np.full(5, 0.5)),
                                 "n": _fire(5, theta=150.0)}),
    Primitive(name="Conv1d", how="convolution of height 1", shape=(2, 9),
              nodes=lambda rng: {"c": nir.Conv1d(input_shape=9, weight=_w(rng, 3, 2, 3), stride=2, padding=1,
                                                 dilation=1, groups=1, bias=np.zeros(3)), "n": _fire(3, 5)}),
    Primitive(name="Conv2d", how="convolution", shape=(2, 5, 6),
              nodes=lambda rng: {"c": _conv2d(rng, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
                                 "n": _fire(4, 3, 6)}),
    Primitive(name="Conv2d, padding \"same\", even kernel", how="a zero row is added to the kernel", shape=(2, 5, 6),
              nodes=lambda rng: {"c": _conv2d(rng, padding="same"), "n": _fire(4, 5, 6)}),
    Primitive(name="AvgPool2d", how="folded into the next map, 1/k² into the scale", shape=(2, 5, 6),
              nodes=lambda rng: {"p": nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]),
                                                    padding=np.array([0, 0])), "fc": _linear(rng, 5, 12),
                                 "n": _fire(5, theta=75.0)}),
    Primitive(name="SumPool2d", how="folded into the next map, or one weight per channel", shape=(2, 5, 6),
              nodes=lambda rng: {"p": nir.SumPool2d(kernel_size=np.array([2, 3]), stride=np.array([1, 2]),
                                                    padding=np.array([0, 0])), "n": _fire(2, 4, 2, theta=3.0)}),
    Primitive(name="AvgPool2d, padded", how="multiplied out", shape=(2, 5, 6),
              nodes=lambda rng: {"p": nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]),
                                                    padding=np.array([1, 1])),
                                 "fc": nir.Linear(weight=np.full((3, 24), 4.0) * np.sign(_w(rng, 3, 24))),
                                 "n": _fire(3, theta=9.0)}),
    Primitive(name="Flatten", how="renames indices", shape=(2, 3),
              nodes=lambda rng: {"f": nir.Flatten(input_type={"input": np.array([2, 3])}, start_dim=0, end_dim=-1),
                                 "fc": _linear(rng), "n": _fire(5)}),
    Primitive(name="Delay", how="delay of the edge, split where values differ",
              nodes=lambda rng: {"d": nir.Delay(delay=np.array([0, 1, 2, 3, 1, 0]) * DT_S), "fc": _linear(rng),
                                 "n": _fire(5)}),
    Primitive(name="Threshold", how="a neuron that forgets at once", nodes=lambda rng: {
        "fc": _linear(rng), "n": nir.Threshold(threshold=np.full(5, 90.5))}),
    Primitive(name="I", how="membrane readout", nodes=lambda rng: {
        "fc": _linear(rng), "n": _fire(5), "w": _linear(rng, 3, 5), "out": nir.I(r=np.ones(3) / DT_S)}),
    Primitive(name="IF", how="neuron without leak", nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5)}),
    Primitive(name="IF, v_reset not 0", how="shifted so that it resets to 0", nodes=lambda rng: {
        "fc": _linear(rng),
        "n": nir.IF(r=np.ones(5) / DT_S, v_threshold=np.full(5, 300.0), v_reset=np.full(5, -50.0))}),
    Primitive(name="IF, thresholds that differ", how="scaled to one, or one per neuron", nodes=lambda rng: {
        "fc": nir.Linear(weight=_w(rng, 5, 6)[[1, 0, 2, 3, 4]] // np.array([[2.0], [1], [1], [2], [1]])),
        "n": nir.IF(r=np.ones(5) / DT_S, v_threshold=np.array([150.0, 300, 300, 150, 300]), v_reset=np.zeros(5))}),
    Primitive(name="LIF", how="decay of 12 bits, states dropped towards zero",
              nodes=lambda rng: {"fc": _linear(rng), "n": _lif(5)}),
    Primitive(name="LIF, v_leak not 0", how="leak as a bias", nodes=lambda rng: {
        "fc": _linear(rng), "n": nir.LIF(tau=np.full(5, 10 * DT_S), r=np.full(5, 10.0), v_leak=np.full(5, 20.0),
                                         v_threshold=np.full(5, 300.0), v_reset=np.zeros(5))}),
    Primitive(name="LIF, time constants that differ, between layers", how="a population for each (--populations)",
              nodes=lambda rng: {"fc": _linear(rng), "n": nir.LIF(
                  tau=np.array([5, 10, 10, 20, 5]) * DT_S, r=np.array([5.0, 10, 10, 20, 5]), v_leak=np.zeros(5),
                  v_threshold=np.full(5, 300.0), v_reset=np.zeros(5)),
                  "w": _linear(rng, 3, 5), "out": _fire(3)}),
    Primitive(name="LIF, time constants that differ, output",
              how="one decay per layer, or their mean (--constants mean)",
              nodes=lambda rng: {"fc": _linear(rng), "n": nir.LIF(
                  tau=np.linspace(5, 20, 5) * DT_S, r=np.linspace(5, 20, 5), v_leak=np.zeros(5),
                  v_threshold=np.full(5, 300.0), v_reset=np.zeros(5))}),
    Primitive(name="LI", how="membrane readout with leak", nodes=lambda rng: {
        "fc": _linear(rng), "n": _fire(5), "w": _linear(rng, 3, 5),
        "out": nir.LI(tau=np.full(3, 10 * DT_S), r=np.full(3, 10.0), v_leak=np.zeros(3))}),
    Primitive(name="CubaLIF", how="current and membrane decay of 12 bits each",
              nodes=lambda rng: {"fc": _linear(rng), "n": _cuba(5)}),
    Primitive(name="CubaLIF behind Affine", how="bias of v; its start through the synapse as initial current",
              nodes=lambda rng: {"fc": nir.Affine(weight=_w(rng, 5, 6), bias=np.full(5, 9.0)), "n": _cuba(5)}),
    Primitive(name="CubaLI", how="membrane readout with current and leak", nodes=lambda rng: {
        "fc": _linear(rng), "n": _fire(5), "w": _linear(rng, 3, 5), "out": nir.CubaLI(
            tau_syn=np.full(3, 4 * DT_S), tau_mem=np.full(3, 10 * DT_S), r=np.full(3, 10.0), v_leak=np.zeros(3),
            w_in=np.full(3, 4.0))}),
    Primitive(name="LI between layers", how="", nodes=lambda rng: {
        "fc": _linear(rng), "li": nir.LI(tau=np.full(5, 10 * DT_S), r=np.full(5, 10.0), v_leak=np.zeros(5)),
        "w": _linear(rng, 3, 5), "n": _fire(3)}),
    Primitive(name="NIRGraph, nested", how="flattened", nodes=lambda rng: {"sub": _nested(rng)}),
    Primitive(name="several inputs", how="one port each; sums", two_inputs=True,
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5)}),
    Primitive(name="several outputs", how="each read in its own window", two_outputs=True,
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5), "fc2": _linear(rng, 4, 5), "m": _fire(4)}),
    Primitive(name="branches that join", how="delays are balanced", extra=(("input", "short"), ("short", "m")),
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5), "fc2": _linear(rng, 4, 5), "m": _fire(4),
                                 "short": _linear(rng, 4, 6)}),
    Primitive(name="a loop within a layer", how="recurrent edge of one step", extra=(("n", "rec"), ("rec", "n")),
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5), "rec": nir.Linear(weight=-_w(rng, 5, 5))}),
    Primitive(name="a loop of two layers", how="one step for each layer", extra=(("m", "back"), ("back", "n")),
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5), "fc2": _linear(rng, 4, 5), "m": _fire(4),
                                 "back": nir.Linear(weight=-_w(rng, 5, 4))}),
    Primitive(name="a loop of two layers with a Delay", how="the network's delay takes the chip's steps in",
              extra=(("m", "d"), ("d", "back"), ("back", "n")),
              nodes=lambda rng: {"fc": _linear(rng), "n": _fire(5), "fc2": _linear(rng, 4, 5), "m": _fire(4),
                                 "d": nir.Delay(delay=np.full(4, 2 * DT_S)),
                                 "back": nir.Linear(weight=-_w(rng, 5, 4))}),
)  # fmt: skip


def _nested(rng: np.random.Generator) -> Any:
    inner = {"input": nir.Input({"input": np.array([6])}), "fc": _linear(rng), "n": _fire(5)}
    inner["output"] = nir.Output({"output": np.array([5])})
    return nir.NIRGraph(nodes=inner, edges=list(itertools.pairwise(inner)), type_check=False)


def graph_of(primitive: Primitive, reset: Any) -> nir.NIRGraph:
    """The primitive's network: its nodes in a row, up to the first that only `extra` joins."""
    rng = np.random.default_rng(3)
    inner = dict(primitive.nodes(rng))
    aside = {name for edge in primitive.extra for name in edge} - {"input"}
    row = [name for name in inner if name not in aside or name in ("n", "m")]
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(primitive.shape)}), **inner}
    nodes["output"] = nir.Output({"output": np.array([1])})
    edges = [*itertools.pairwise(["input", *row, "output"]), *primitive.extra]
    if primitive.two_inputs:
        nodes["second"] = nir.Input({"input": np.array(primitive.shape)})
        edges.append(("second", row[0]))
    if primitive.two_outputs:
        nodes["output2"] = nir.Output({"output": np.array([1])})
        edges.append(("n", "output2"))
    info = GraphInfo(dt_s=DT_S, reset=reset, readout_beta=1.0)
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=info.to_metadata(), type_check=False)


def verdict(primitive: Primitive, target: str) -> str:
    """What becomes of a primitive on a target."""
    reset = "soft" if "soft" in target else "hard"
    try:
        lowered = lower(graph_of(primitive, reset), target=target, options=LowerOptions(time_steps=STEPS))
    except NeuroPrivacyError as error:
        return f"refused: {str(error).splitlines()[0]}"
    rng = np.random.default_rng(4)
    program, network = lowered.program, lowered.real_network
    inputs = check_inputs(
        program, {p.name: (rng.random((4, STEPS, *p.shape)) < 0.3).astype(np.int64) for p in program.inputs}
    )
    ideal = run_float(network, inputs)
    got = run_reference(program, inputs, record=Record(spikes=True, states=True))
    differing = total = 0
    exact = True
    for layer, real in zip(program.layers, network.layers, strict=True):
        late = network.latencies[layer.name]
        spikes = (got.layer_spikes or {})[layer.name][:, late : late + STEPS]
        states = (got.states_v or {})[layer.name][:, late : late + STEPS]
        unit = np.array(layer.scale) / real.state_scale / (1 << load_target(target).activation_shift)
        differing += int((spikes != ideal.spikes[layer.name]).sum())
        total += spikes.size
        exact &= bool(
            np.allclose(states * unit, ideal.v[layer.name], atol=1e-6 * max(1.0, np.abs(states * unit).max()))
        )
    if exact and not differing:
        return "exact"
    return f"rounded ({100 * differing / total:.2f} % of spikes differ)"


HEAD = """# What every NIR primitive becomes

Made by `python -m tools.primitives`; a test holds it against the code. Each primitive stands in a small
network whose weights lie on the target's grid, so that only its own rounding can show. **exact**: all spikes and states
of 4 samples x 200 steps are those of the float network (forward Euler, no latency). **rounded**: integers differ from
real numbers; the share of spikes that differ is that of this little network, whose rounding is not trained away.
Weights off the grid are rounded besides, on every target. `neuroprivacy trace` shows what rounding does to yours.

"""


def page() -> str:
    """The Markdown page."""
    lines = ["| primitive | how | " + " | ".join(TARGETS) + " |", "|---|---|" + "---|" * len(TARGETS)]
    refusals: dict[str, int] = {}
    for primitive in PRIMITIVES:
        cells = []
        for target in TARGETS:
            found = verdict(primitive, target)
            if found.startswith("refused: "):
                words = found.removeprefix("refused: ").replace(target, "TARGET")
                found = f"refused ({refusals.setdefault(words, len(refusals) + 1)})"
            cells.append(found)
        lines.append(f"| {primitive.name} | {primitive.how} | " + " | ".join(cells) + " |")
    lines += ["", "What the refusals say (TARGET stands for the target's name):", ""]
    lines += [f"{number}. {words}" for words, number in refusals.items()]
    return HEAD + "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or check that it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m tools.primitives", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/reference/primitives.md"))
    parser.add_argument("--check", action="store_true", help="only compare; exit code 1 if it differs")
    options = parser.parse_args(arguments)
    made = page()
    if options.check:
        same = options.out.exists() and options.out.read_text(encoding="utf-8") == made
        print(f"{options.out}: {'up to date' if same else 'differs from the code'}")
        return 0 if same else 1
    write_text(options.out, made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
