"""What was asked for, and what was measured: each claim is one ratio of one item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Spread, fastest, ratio

#: Stands for the fastest of the peers on torch.
FASTEST_TORCH = "fastest torch peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`above` takes at least `least` times as long as `below`.

    Attributes:
        text: for people.
        item: key of the item.
        above, below: competitors; `above` may be `FASTEST_TORCH`.
        percent: whether the ratio is a share.
    """

    text: str
    item: str
    above: str
    below: str
    least: float
    percent: bool = False


CLAIMS = (
    Claim(text="W1 batch 1: fastest torch peer", item="w1_batch1", above=FASTEST_TORCH, below="ours", least=60),
    Claim(text="W1 batch 1: layer-wise torch loop", item="w1_batch1", above="torch_manual", below="ours", least=15),
    Claim(text="W1 batch 1: Lava, the same integers", item="w1_batch1", above="lava", below="ours_loihi2", least=400),
    Claim(text="W1 batch 128: fastest torch peer", item="w1_batch128", above=FASTEST_TORCH, below="ours", least=7),
    Claim(text="W2 batch 1: fastest torch peer", item="w2_batch1", above=FASTEST_TORCH, below="ours", least=4),
    Claim(text="W2 batch 1: Lava, the same integers", item="w2_batch1", above="lava", below="ours_loihi2", least=1000),
    Claim(text="W2 batch 16: fastest torch peer", item="w2_batch16", above=FASTEST_TORCH, below="ours", least=6),
    Claim(
        text="W2 batch 16: share of the int16 event bound", item="w2_batch16", above="bound16", below="ours",
        least=0.7, percent=True,
    ),
    Claim(
        text="W1 training: SpikingJelly, multi-step", item="w1_training", above="spikingjelly",
        below="ours_training", least=1.5,
    ),
    Claim(
        text="W2 training: SpikingJelly, multi-step", item="w2_training", above="spikingjelly",
        below="ours_training", least=1.2,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A line of the table."""

    text: str
    asked: str
    measured: str
    met: str


def verdicts(results: dict[str, Any]) -> Iterator[Verdict]:
    """All claims against the results, by item."""
    for claim in CLAIMS:
        yield _verdict(claim, results.get(claim.item))
    for name in ("w1_training", "w2_training"):
        yield _memory(name, results.get(name), of="peak memory of the process", field="process_bytes")
        yield _memory(name, results.get(name), of="what it grew by since before the first call", field="peak_bytes")
        yield _memory(name, results.get(name), of="peak of its tensors", field="tensor_bytes")
    yield _exactness(results)


def slower_of(claim: Claim, result: dict[str, Any]) -> str | None:
    """The competitor that a claim says takes longer; None where none of those that could be it was measured."""
    return fastest(result, "torch") if claim.above == FASTEST_TORCH else claim.above


def _verdict(claim: Claim, result: dict[str, Any] | None) -> Verdict:
    """One ratio."""
    asked = f">= {claim.least:.0%}" if claim.percent else f">= {claim.least:,g}x"
    text, found = claim.text, None
    if result is not None:
        above = slower_of(claim, result)
        if above is not None:
            found = ratio(result, above, claim.below)
            if claim.above == FASTEST_TORCH:
                text += f" ({result['rows'][above]['title'].split(',')[0]})"
            extrapolated = result["rows"].get(above, {}).get("extrapolated")
            if extrapolated:
                text += f", extrapolated from {extrapolated['steps']} steps"
    if found is None:
        return Verdict(text=text, asked=asked, measured="not measured in one run", met="not run")
    met = "met" if found.middle >= claim.least else "missed"
    return Verdict(text=text, asked=asked, measured=_formatted(found, percent=claim.percent), met=met)


def _formatted(found: Spread, *, percent: bool) -> str:
    if percent:
        return f"{found.middle:.0%} [{found.low:.0%}-{found.high:.0%}]"
    digits = "{:,.2f}x [{:,.2f}-{:,.2f}]" if found.middle < 10 else "{:,.0f}x [{:,.0f}-{:,.0f}]"
    return digits.format(found.middle, found.low, found.high)


def _memory(name: str, result: dict[str, Any] | None, *, of: str, field: str) -> Verdict:
    """Memory of training against SpikingJelly's."""
    text = f"{name[:2].upper()} training: {of}, of SpikingJelly's"
    rows = {} if result is None else result["rows"]
    ours, theirs = (rows.get(key, {}).get(field) for key in ("ours_training", "spikingjelly"))
    if not ours or not theirs:
        return Verdict(text=text, asked="<= 100%", measured="not measured", met="not run")
    share = ours / theirs
    return Verdict(text=text, asked="<= 100%", measured=f"{share:.0%}", met="met" if share <= 1 else "missed")


def _exactness(results: dict[str, Any]) -> Verdict:
    """Whether all runs of ours that were compared equal the reference."""
    compared = [row["exact"] for result in results.values() for row in result["rows"].values() if "exact" in row]
    equal = sum(each["equal"] for each in compared)
    met = "not run" if not compared else "met" if equal == len(compared) else "missed"
    return Verdict(
        text="every integer as the reference has it", asked="all", measured=f"{equal} of {len(compared)} runs", met=met
    )
