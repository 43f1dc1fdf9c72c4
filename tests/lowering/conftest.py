"""Graphs made by hand, as other frameworks would write them, and one step of a Program."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import pytest

from neuroprivacy.graph import GraphInfo
from neuroprivacy.lowering import Lowered, LowerOptions, lower
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import Record, RunResult, check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.targets.spec import TargetSpec, load_target, target_from_dict

DT = 1e-4


@dataclass(frozen=True)
class Maker:
    """Builders of nodes and graphs; neurons have an input gain of 1 at a time step of 0.1 ms."""

    rng: np.random.Generator

    def weights(self, *shape: int, top: int = 127) -> np.ndarray:
        """Integers that use the whole range, so that the best scale is 1."""
        weight = self.rng.integers(-top, top + 1, shape).astype(np.float32)
        weight.flat[0] = top
        return weight

    def linear(self, outputs: int, inputs: int, *, bias: Sequence[float] | None = None) -> Any:
        weight = self.weights(outputs, inputs)
        return nir.Linear(weight=weight) if bias is None else nir.Affine(weight=weight, bias=np.array(bias))

    def conv(self, weight: np.ndarray, size: tuple[int, int], **options: Any) -> Any:
        given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.zeros(len(weight)), **options}
        return nir.Conv2d(input_shape=size, weight=weight, **given)

    def pool(self, kind: Any, kernel: tuple[int, int], stride: tuple[int, int] | None = None, padding: int = 0) -> Any:
        return kind(
            kernel_size=np.array(kernel), stride=np.array(stride or kernel), padding=np.array([padding, padding])
        )

    def flatten(self, *shape: int) -> Any:
        return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)

    def neurons(self, *shape: int, theta: Any = 300.0, beta: float = 1.0, reset_to: float = 0.0) -> Any:
        full = np.ones(shape)
        if beta == 1:
            return nir.IF(r=full / DT, v_threshold=full * theta, v_reset=full * reset_to)
        tau = DT / (1 - beta)
        return nir.LIF(
            tau=full * tau, r=full * tau / DT, v_leak=full * 0, v_threshold=full * theta, v_reset=full * reset_to
        )

    def graph(
        self, inputs: dict[str, Any], nodes: dict[str, Any], edges: Sequence[tuple[str, str]], outputs: dict[str, Any],
        info: GraphInfo | None = None,
    ) -> nir.NIRGraph:  # fmt: skip
        every = {name: nir.Input({"input": np.array(shape)}) for name, shape in inputs.items()}
        every |= nodes | {name: nir.Output({"output": np.array(shape)}) for name, shape in outputs.items()}
        return nir.NIRGraph(
            nodes=every, edges=list(edges), metadata=info.to_metadata() if info else {}, type_check=False
        )

    def chain(
        self, shape: Any, nodes: dict[str, Any], out: Any, *, info: GraphInfo | None = None, checked: bool = False
    ) -> nir.NIRGraph:
        """input -> nodes in order -> output; `checked`: whether nir infers and checks the shapes."""
        names = ["input", *nodes, "output"]
        every = {
            "input": nir.Input({"input": np.atleast_1d(shape)}), **nodes,
            "output": nir.Output({"output": np.atleast_1d(out)}),
        }  # fmt: skip
        return nir.NIRGraph(
            nodes=every, edges=list(itertools.pairwise(names)),
            metadata=info.to_metadata() if info else {}, type_check=checked,
        )  # fmt: skip

    def spikes(self, samples: int, steps: int, *shape: int, rate: float = 0.5) -> np.ndarray:
        return (self.rng.random((samples, steps, *shape)) < rate).astype(np.int64)


@pytest.fixture
def maker() -> Maker:
    return Maker(np.random.default_rng(12))


@pytest.fixture
def lowered() -> Callable[..., Lowered]:
    """`lower` with options as keywords."""

    def make(graph: nir.NIRGraph, target: Any = "loihi2", **options: Any) -> Lowered:
        return lower(graph, target=target, options=LowerOptions(**options))

    return make


@pytest.fixture
def ran() -> Callable[..., RunResult]:
    """A run of the reference that keeps everything."""

    def run(program: Program, spikes: Any) -> RunResult:
        everything = Record(spikes=True, final=True, states=True)
        return run_reference(program, check_inputs(program, spikes), record=everything)

    return run


@pytest.fixture
def sums(ran: Callable[..., RunResult]) -> Callable[..., np.ndarray]:
    """The synaptic sums of a layer, (samples, T, neurons), as the chip computes them, aligned to the input step."""

    def compute(program: Program, spikes: Any, name: str, *, depth: int) -> np.ndarray:
        result = ran(program, spikes)
        steps = next(iter(check_inputs(program, spikes).values())).shape[1]
        late = depth if program.target.edge_delay_min else 0
        return result.states_u[name][:, late : late + steps] >> program.target.activation_shift

    return compute


@pytest.fixture
def signed_target() -> TargetSpec:
    """Loihi 2 if it had signed messages."""
    values = load_target("loihi2").to_dict()
    return target_from_dict({**values, "name": "signed", "message_signed": True}, where="test")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
