"""docs/performance.md and its plot, from the results of `run.py` alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from neuroprivacy.storage import write_text

TITLES = {
    "neuroprivacy": "neuroprivacy, fixedpoint", "manual": "torch, layer by layer", "snntorch": "snnTorch",
    "spikingjelly": "SpikingJelly", "norse": "Norse", "sinabs": "sinabs", "lava": "Lava, fixed_pt",
}  # fmt: skip
TORCH = ("snntorch", "spikingjelly", "norse", "sinabs")
#: What was asked for: (workload, batch, against, least ratio).
ASKED = (
    ("W1", "1", "torch", 60.0), ("W1", "1", "manual", 15.0), ("W1", "1", "lava", 400.0), ("W1", "128", "torch", 7.0),
    ("W2", "1", "torch", 4.0), ("W2", "16", "torch", 6.0),
)  # fmt: skip
ASKED_TRAINING = (("W1", 1.5), ("W2", 1.2))
RATE_TOLERANCE = 0.02
#: Networks of a few neurons, the last layers, are drawn from few spikes.
LAST_TOLERANCE = 0.05


def write_page(found: dict[str, Any], path: Path) -> None:
    """Write the page, and the plot beside it."""
    plot = path.with_name("performance.png")
    _plot(found.get("scaling", {}), plot)
    write_text(path, "\n".join(_page(found, plot.name)) + "\n")


def _page(found: dict[str, Any], plot: str) -> Iterator[str]:
    where = found["machine"]
    of = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    yield "# Speed"
    yield ""
    yield (
        "Remake this page with `make bench`. One interleaved run: every simulator is a process of its own, and each of "
        f"{found['rounds']} rounds asks all of them in turn; medians, and in brackets the smallest and the largest. "
        f"{found['threads']} threads each. All compute the same network (`benchmarks/workloads.py`): v = 0.9 v + I, "
        "spike if v > 1, reset to 0, on distinct samples; their firing rates are compared below. neuroprivacy computes "
        "the integers of `loihi2`, its latency included, equal to the reference in every integer (checked in the run); "
        "the time is that of the public `run`, input checks and counts included."
    )
    yield ""
    yield f"Machine class: {where['processor']}, {where['cores']} cores, {where['system']}. Versions: {of}."
    for name, workload in found["workloads"].items():
        for batch in workload["inference"]:
            yield ""
            yield f"## {name}, batch {batch}"
            yield ""
            yield from _table(workload, batch)
    yield ""
    yield "## Training: one forward and backward, cross-entropy of summed spikes"
    yield ""
    yield "| workload | simulator | time per call, ms | samples/s | largest memory of the process, MB |"
    yield "|---|---|---|---|---|"
    for name, workload in found["workloads"].items():
        training = workload["training"]
        for peer, seconds in sorted(training.get("seconds", {}).items(), key=lambda each: median(each[1])):
            yield (
                f"| {name}, batch {training['batch']}, T = {training['steps']} | {TITLES[peer]} | {_spread(seconds)} | "
                f"{training['batch'] / median(seconds):.0f} | {workload['memory'][peer] / 1e6:.0f} |"
            )
    yield ""
    yield "## What was asked for"
    yield ""
    yield "| | asked | measured | |"
    yield "|---|---|---|---|"
    yield from _claims(found)
    yield ""
    yield "## Bounds of the machine"
    yield ""
    yield (
        "Measured in the same run. Adding rows of int8 weights to an accumulator, as events do, with the row lengths "
        "of the workloads; a float32 product."
    )
    yield ""
    yield "| what | G/s |"
    yield "|---|---|"
    for what, rate in found["bounds"].items():
        yield f"| {what} | {rate / 1e9:.1f} |"
    yield ""
    yield "## Firing rates of the layers"
    yield ""
    yield "| workload | simulator | rates |"
    yield "|---|---|---|"
    for name, workload in found["workloads"].items():
        for peer, each in workload["peers"].items():
            told = ", ".join(f"{rate:.3f}" for rate in each.get("rates", [])) or "not recorded"
            if "missing" in each:
                told = f"not run: {each['missing']}"
            yield f"| {name} | {TITLES[peer]} | {told} |"
    yield ""
    yield "## How the cost grows"
    yield ""
    yield "W1 in the fixedpoint simulator; time per sample."
    yield ""
    yield f"![Time per sample against firing rate, steps, batch and threads]({plot})"
    yield ""
    yield "| | " + " | ".join(["x", "ms per sample"]) + " |"
    yield "|---|---|---|"
    for what, points in found.get("scaling", {}).items():
        for point in points:
            yield f"| {what} | {point['x']:g} | {1e3 * point['seconds']:.3f} |"
    yield ""
    yield "## What to know about these numbers"
    yield ""
    yield (
        "- Lava's time is that of one run without compiling and starting, its state running on; it runs W1 alone here. "
        "Its spikes are compared one by one in `hw_tests`."
    )
    yield "- Not measured: Nengo and Rockpool, GPUs, and machines with more cores."
    yield (
        "- The event bound is what the adds of the events alone would take; listing events and computing neurons are "
        "not in it."
    )


def _table(workload: dict[str, Any], batch: str) -> Iterator[str]:
    times = workload["inference"][batch]
    own = median(times["neuroprivacy"])
    yield "| simulator | time per call, ms | samples/s | neuroprivacy is faster by |"
    yield "|---|---|---|---|"
    for peer, seconds in sorted(times.items(), key=lambda each: median(each[1])):
        ratio = "" if peer == "neuroprivacy" else f"{_ratio(seconds, times['neuroprivacy'])}"
        yield f"| {TITLES[peer]} | {_spread(seconds)} | {int(batch) / median(seconds):.1f} | {ratio} |"
    adds = workload["adds_per_sample"] * int(batch)
    yield ""
    yield (
        f"{workload['adds_per_sample'] / 1e6:.2f} million weights are added per sample, of "
        f"{workload['dense_per_sample'] / 1e6:.1f} million that a dense product multiplies: {adds / own / 1e9:.1f} G "
        "adds/s, all else included."
    )


def _spread(seconds: list[float]) -> str:
    return f"{1e3 * median(seconds):.3g} [{1e3 * min(seconds):.3g}-{1e3 * max(seconds):.3g}]"


def _ratio(theirs: list[float], own: list[float]) -> str:
    """Median of the rounds' own ratios, and their spread."""
    ratios = [a / b for a, b in zip(theirs, own, strict=True)]
    return f"{median(ratios):.1f} [{min(ratios):.1f}-{max(ratios):.1f}]"


def _claims(found: dict[str, Any]) -> Iterator[str]:
    names = {"torch": "the fastest peer on torch", "manual": "torch, layer by layer", "lava": "Lava"}
    for name, batch, against, least in ASKED:
        times = found["workloads"].get(name, {}).get("inference", {}).get(batch, {})
        rivals = [times[peer] for peer in (TORCH if against == "torch" else (against,)) if peer in times]
        what = f"{name}, batch {batch}, against {names[against]}"
        if not rivals or "neuroprivacy" not in times:
            yield f"| {what} | {least:g} x | not run | |"
            continue
        ratio = min(map(median, rivals)) / median(times["neuroprivacy"])
        yield f"| {what} | {least:g} x | {ratio:.1f} x | {'met' if ratio >= least else 'missed'} |"
    workload = found["workloads"].get("W2")
    if workload and "16" in workload["inference"]:
        own = 16 * workload["adds_per_sample"] / median(workload["inference"]["16"]["neuroprivacy"])
        share = own / found["bounds"]["W2 int16"]
        verdict = "met" if share >= 0.7 else "missed"
        yield f"| W2, batch 16, share of the int16 event bound | 70 % | {100 * share:.0f} % | {verdict} |"
    for name, least in ASKED_TRAINING:
        seconds = found["workloads"].get(name, {}).get("training", {}).get("seconds", {})
        if {"neuroprivacy", "spikingjelly"} <= set(seconds):
            ratio = median(seconds["spikingjelly"]) / median(seconds["neuroprivacy"])
            memory = found["workloads"][name]["memory"]
            more = memory["neuroprivacy"] > memory["spikingjelly"]
            verdict = "met" if ratio >= least and not more else "missed"
            extra = ", with more memory" if more else ", with no more memory"
            yield f"| {name}, training, against SpikingJelly | {least:g} x | {ratio:.2f} x{extra} | {verdict} |"


def _plot(scaling: dict[str, list[dict[str, float]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = {"rate": "firing rate of every layer", "steps": "time steps T", "batch": "batch", "threads": "threads"}
    figure, axes = plt.subplots(1, 4, figsize=(12, 2.9), constrained_layout=True)
    for axis, (what, title) in zip(axes, titles.items(), strict=True):
        points = scaling.get(what, [])
        axis.plot([p["x"] for p in points], [1e3 * p["seconds"] for p in points], "o-", color="#1f5f8b")
        axis.set_xlabel(title)
        axis.set_ylim(bottom=0)
        if points and what in ("rate", "steps", "batch"):
            axis.set_xscale("log")
        if points and what == "threads":
            axis.set_xticks([p["x"] for p in points])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ms per sample")
    figure.savefig(path, dpi=110)
    plt.close(figure)
