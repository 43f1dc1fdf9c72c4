"""What is measured: one item is one table, its competitors take turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmarks.workloads import W1, W2, Workload, mlp

_TORCH = ("snntorch", "spikingjelly", "norse", "sinabs")
_OURS = ("ours", "ours_backend", "ours_loihi2")
_BOUNDS = ("bound16", "bound32", "gemm")
#: Of the scaling study.
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
STEPS = (8, 16, 32, 64, 128, 256)
WIDTHS = (128, 256, 512, 1024, 2048)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
THREADS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to measure.

    Attributes:
        key: names the file of its result.
        group: "W1", "W2" or "scaling", for `--only`.
        workload: the network.
        batch: samples of a call.
        threads: of every competitor.
        competitors: keys, in the order of the first round.
        training: forward and backward instead of inference.
        axis: of the scaling study: what is varied, and `value` to what.
    """

    key: str
    group: Literal["W1", "W2", "scaling"]
    workload: Workload
    batch: int
    competitors: tuple[str, ...]
    threads: int = 2
    training: bool = False
    axis: str = ""
    value: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "key": self.key, "group": self.group, "workload": self.workload.name, "batch": self.batch,
            "steps": self.workload.steps, "threads": self.threads, "training": self.training, "axis": self.axis,
            "value": self.value, "competitors": list(self.competitors), "tolerance": self.workload.tolerance,
            "macs": sum(layer.macs for layer in self.workload.layers),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: in which every competitor has its turn.
        seconds: a turn consists of calls until so much is timed.
        calls: so many batches of distinct samples are made.
        rate_samples: samples on which rates are compared, by workload; also those that weights are scaled with.
        exact: (samples, steps) that are compared with the reference, by workload.
        values: how many values of each axis of the scaling study are taken; 0 for all.
    """

    rounds: int
    seconds: float
    calls: int
    rate_samples: dict[str, int] = field(default_factory=dict)
    exact: dict[str, tuple[int, int]] = field(default_factory=dict)
    values: int = 0


FULL = Effort(rounds=7, seconds=0.5, calls=8, rate_samples={"W1": 128, "W2": 8}, exact={"W1": (4, 32), "W2": (1, 8)})
QUICK = Effort(
    rounds=3, seconds=0.05, calls=2, rate_samples={"W1": 64, "W2": 2}, exact={"W1": (2, 32), "W2": (1, 3)}, values=3
)


def items(effort: Effort) -> Iterator[Item]:
    """All of them."""
    yield Item(key="w1_batch1", group="W1", workload=W1, batch=1,
               competitors=(*_OURS, "torch_manual", *_TORCH, "nengo", "lava", *_BOUNDS))  # fmt: skip
    yield Item(key="w1_batch128", group="W1", workload=W1, batch=128,
               competitors=(*_OURS, "torch_manual", *_TORCH, *_BOUNDS))  # fmt: skip
    yield Item(key="w2_batch1", group="W2", workload=W2, batch=1,
               competitors=(*_OURS, "torch_manual", *_TORCH, "lava", *_BOUNDS))  # fmt: skip
    yield Item(key="w2_batch16", group="W2", workload=W2, batch=16,
               competitors=(*_OURS, "torch_manual", *_TORCH, *_BOUNDS))  # fmt: skip
    training = ("ours_training", "snntorch", "spikingjelly", "norse")
    yield Item(key="w1_training", group="W1", workload=W1, batch=128, training=True, competitors=training)
    yield Item(key="w2_training", group="W2", workload=replace(W2, steps=16), batch=8, training=True,
               competitors=training)  # fmt: skip
    yield from _scaling(effort.values)


def _scaling(count: int) -> Iterator[Item]:
    """One axis after another, on W1's network."""
    pair = ("ours", "torch_manual")

    def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values if not count else values[:: max(1, -(-len(values) // count))]

    def item(axis: str, value: float, workload: Workload, batch: int, **more: Any) -> Item:
        key = f"scaling_{axis}_{value:g}"
        more = {"competitors": pair, **more}
        return Item(key=key, group="scaling", workload=workload, batch=batch, axis=axis, value=value, **more)

    for rate in some(RATES):
        yield item("rate", rate, mlp(f"W1_rate{rate:g}", (784, 512, 256, 10), rate=rate), 32)
    for steps in some(STEPS):
        yield item("steps", steps, replace(W1, steps=steps), 32)
    for width in some(WIDTHS):
        yield item("width", width, mlp(f"width{width}", (784, width, width // 2, 10), rate=0.1), 32)
    for batch in some(BATCHES):
        yield item("batch", batch, W1, batch)
    for threads in THREADS:
        for name, workload, batch in (("W1", W1, 128), ("W2", W2, 16)):
            each = item("threads", threads, workload, batch, threads=threads, competitors=(*pair, "bound16", "bound32"))
            yield replace(each, key=f"{each.key}_{name.lower()}")
