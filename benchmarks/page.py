"""docs/results/performance.md out of performance.json. Nothing on the page is written by hand: it can be remade."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.claims import CLAIMS, slower_of, verdicts
from benchmarks.figures import Spread, measured, ratio, seconds
from benchmarks.plot import AXES, draw

_HEAD = """# How fast it is

Remade by `make bench` (`python -m benchmarks`; `--quick` to try it, `--page-only` for the page alone) out of
`performance.json`; nothing here is written by hand. Compare ratios: times depend on the machine.
"""
_NETWORKS = """## What is computed

- **W1**: 784-512-256-10 neurons, T = 32, input and layers fire at 10 %. **W2**: 3 x 32 x 32, convolutions 64-64,
  average pool, 128-128, average pool, 256-256, average pool, then 512 and 10 neurons (3 x 3, padding 1), T = 32,
  input 20 %, layers 7.5 %. No biases. v = 0.9 v + I, spike if v > 1, then v = 0. Seeded normal weights,
  scaled layer by layer until the rates come out; independent random input spikes.
- Every simulator is given the same float weights and the same samples; ours gets them rounded to 8 bits per layer,
  decay 410/4096. `int8` computes what the float network computes, without latency. `loihi2` computes what Lava
  computes: every layer takes a step, so that T + layers steps are run.
"""
_METHOD = """## How it is measured

- One process per simulator, in an environment of its own, warm, waiting on a pipe while others run
  (`OMP_WAIT_POLICY=PASSIVE`). Simulators of a table take turns: {rounds} rounds after a warm-up call, in another
  order in each. A turn is as many calls as fit {turn} s, at least one; every call gets samples that the call
  before did not see, in the form that the simulator wants (float32 and time first for torch).
  Converting them is not timed.
- A time is the median over rounds of the mean of a turn, with the smallest and largest in brackets. A ratio is one of
  medians; in brackets, the smallest and largest ratio of a round.
- Rates: mean rates of all layers on {samples}; "differs by" is the largest difference of a
  layer from the float network computed apart. Tolerance {tolerance:g}; beyond it the row says so. "Equal": spikes of
  all layers, u, v, readout and counts are the reference's, on some samples. Lava's state goes on from sample to
  sample; its spikes of every layer are compared, as counts, with our backend on one long sample.
- Lava: stock `LIF` behind `Dense` and `Conv`, pools as `Sparse`; compiling and starting are not timed. On W2 only 2
  steps are timed and multiplied. Nengo and Lava compute one sample at a time and are timed at batch 1 only.
- Training: forward, cross-entropy on summed spikes, backward; no optimizer step. Each framework's default surrogate
  gradient. Memory: the largest resident size over all calls, and by how much it grew since before the first one
  (`VmHWM`, Linux). Ours holds numba and what it loads when it is first called, 40 MiB each; malloc keeps more or less
  of what was freed from run to run. "Of its tensors": the most that tensors made in one call hold at a time, as torch's
  profiler saw it.
- Bounds: "event row adds" adds the weight rows of the events that the float network has, from ready-made lists, to
  sums in memory, and does nothing else. Ours adds up tiles of 64 sums in registers, which is faster than that where
  many events meet. The fp32 bound is the time of all products of the dense network at the speed of 1536 x 1536 x 1536.
- 2 threads unless a table says otherwise. A simulator may use fewer where more do not pay.
"""


def write_page(collected: dict[str, Any], folder: Path) -> None:
    """Write performance.md and performance.svg."""
    results = collected["results"]
    drawn = draw(results, folder / "performance.svg")
    (folder / "performance.md").write_text(
        "\n".join(_page(results, drawn, collected.get("deep_memory"))), encoding="utf-8"
    )


def _page(results: dict[str, Any], drawn: bool, deep: dict[str, Any] | None) -> Iterator[str]:
    yield _HEAD
    if not results:
        yield "Nothing has been measured yet.\n"
        return
    yield from _where(results)
    yield "## What was asked for\n"
    yield "How many times as long the other takes, on distinct samples.\n"
    yield from _table(
        ("claim", "asked", "measured", ""), [(v.text, v.asked, v.measured, v.met) for v in verdicts(results)]
    )
    yield _NETWORKS
    yield "## Inference\n"
    for key in ("w1_batch1", "w1_batch128", "w2_batch1", "w2_batch16"):
        if key in results:
            yield from _inference(results[key])
            yield from _parts(results[key])
    yield from _dense(results)
    yield "## Training\n"
    for key in ("w1_training", "w2_training"):
        if key in results:
            yield from _training(results[key])
    if deep:
        yield from _deep_memory(deep)
    yield from _scaling(results, drawn)
    first = next(iter(results.values()))
    tolerances = {result["item"]["tolerance"] for result in results.values()}
    counts = {
        f"{r['rate_samples']} samples ({'W2' if r['item']['workload'] == 'W2' else 'W1'})" for r in results.values()
    }
    samples = " and ".join(sorted(counts))
    yield _METHOD.format(
        rounds=first["rounds"], turn=first["turn_seconds"], samples=samples, tolerance=max(tolerances)
    )  # fmt: skip
    yield from _failures(results)


def _where(results: dict[str, Any]) -> Iterator[str]:
    """Machine and versions."""
    first = next(iter(results.values()))
    machine = first["machine"]
    versions = dict(first["versions"])
    for result in results.values():
        for key, row in result["rows"].items():
            if row["kind"] != "ours":
                versions |= {n: v for n, v in row.get("versions", {}).items() if n not in versions or n == key}
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    loads = [result["load_before"] for result in results.values()]
    runs = sorted({result["run"] for result in results.values()})
    yield (
        f"Machine class: {machine['processor']}, {machine['cores']} cores, {machine['system']}. Versions: {listed}. "
        f"Measured {', '.join(runs)}; load average before an item {min(loads):.1f} ... {max(loads):.1f}.\n"
    )


def _inference(result: dict[str, Any]) -> Iterator[str]:
    item = result["item"]
    yield f"### {item['workload']}, batch {item['batch']}, T = {item['steps']}, {item['threads']} threads\n"
    lines = []
    for key in _sorted(result):
        row, time = result["rows"][key], seconds(result, key)
        per_second = "" if row["kind"] == "bound" else f"{item['batch'] / time.middle:,.4g}"
        lines.append((_title(row), _ms(time), per_second, _times(ratio(result, key, "ours")), _work(row, item, time)))
    lines += [(_title(row), "not run", "", "", row["error"]) for row in result["rows"].values() if "error" in row]
    yield from _table(
        ("simulator", "time per call, ms [min-max]", "samples/s", "times ours [min-max]", "rates; integers"), lines
    )


def _parts(result: dict[str, Any]) -> Iterator[str]:
    """Where the time of one short run goes, beside what was asked for."""
    parts = result["rows"].get("ours", {}).get("parts")
    if parts is None:
        return
    steps = (
        ("checks of the input", "run", "backend"),
        ("result, counts", "backend", "engine"),
        ("plan, buffers, gathering", "engine", "computed"),
        ("kernels: events listed and added", "computed", "silent"),
        ("kernels: neurons, and calls between steps", "silent", "filled"),
        ("input copied into the buffers", "filled", None),
    )
    allowed = []
    for claim in CLAIMS:
        above = slower_of(claim, result) if claim.item == result["item"]["key"] else None
        if above is not None and measured(result, above):
            allowed.append(
                f"{1e6 * seconds(result, above).middle / claim.least:.0f} us ({_plain_title(result, above)})"
            )
    yield (
        f"One run takes {1e6 * parts['run']:.0f} us here (median of calls that take turns with those of its parts), "
        f"one thread; the ratios asked for allow {', '.join(allowed) or 'nothing that was measured'}.\n"
    )
    lines = [(text, f"{1e6 * (parts[outer] - (parts[inner] if inner else 0)):.1f}") for text, outer, inner in steps]
    yield from _table(("part of a run", "us"), lines)


def _plain_title(result: dict[str, Any], key: str) -> str:
    """The name of a competitor, without what it was set to."""
    return str(result["rows"][key]["title"]).split(",")[0]


def _dense(results: dict[str, Any]) -> Iterator[str]:
    """Where products of matrices would begin to pay: the rate at which the events take as long as they would."""
    shares = {
        f"{results[key]['item']['workload']}, batch {results[key]['item']['batch']}": share
        for key in ("w1_batch128", "w2_batch16")
        if key in results and (share := _crossover(results[key])) is not None
    }
    if shares:
        found = " or ".join(f"{100 * share:.0f} % ({where})" for where, share in shares.items())
        yield (
            "Event by event or dense: by the bounds above, products of matrices in single precision (exact where sums "
            f"stay below 2^24) take as long as the events of a network that fires at {found} in every "
            f"step. Below that events win; above it a factor of {1 / min(shares.values()):.1f} at most is to be had, "
            "and there is no dense path.\n"
        )


def _crossover(result: dict[str, Any]) -> float | None:
    """Additions of events by products of matrices, both per second."""
    if not (measured(result, "bound16") and measured(result, "gemm")):
        return None
    adds = result["rows"]["bound16"]["adds"] * result["item"]["batch"] / seconds(result, "bound16").middle
    products = result["rows"]["gemm"]["flop"] / 2 / median(result["rows"]["gemm"]["seconds"])
    return float(adds / products)


def _training(result: dict[str, Any]) -> Iterator[str]:
    item = result["item"]
    yield f"### {item['workload']}, batch {item['batch']}, T = {item['steps']}, {item['threads']} threads\n"
    lines = [
        (
            _title(result["rows"][key]),
            _ms(seconds(result, key)),
            f"{item['batch'] / seconds(result, key).middle:,.4g}",
            _times(ratio(result, key, "ours_training")),
            *(
                f"{result['rows'][key].get(field, 0) / 2**20:,.0f}"
                for field in ("process_bytes", "peak_bytes", "tensor_bytes")
            ),
            _work(result["rows"][key], item, seconds(result, key)),
        )
        for key in _sorted(result)
    ]
    failed = [row for row in result["rows"].values() if "error" in row]
    lines += [(_title(row), "not run", "", "", "", "", "", row["error"]) for row in failed]
    head = (
        "framework",
        "time per call, ms [min-max]",
        "samples/s",
        "times ours [min-max]",
        "peak memory of the process, MiB",
        "since before the first call",
        "of its tensors",
        "rates",
    )
    yield from _table(head, lines)


def _deep_memory(deep: dict[str, Any]) -> Iterator[str]:
    """What recomputation saves where a network is deep and T is large."""
    yield f"### VGG16 on 32 x 32 images, T = {deep['steps']}, {deep['threads']} threads\n"
    yield (
        "One forward and backward pass: all states kept, or a byte for each spike and the rest computed a second time "
        "(`SpikingNetwork.recompute`; by itself where states would take more than 4 GiB).\n"
    )
    found = {(case["batch"], case["way"]): case for case in deep["cases"]}
    lines = []
    for batch in sorted({batch for batch, _ in found}):
        kept, again = found[batch, "kept"], found[batch, "again"]
        apart = abs(again["gradient"] / kept["gradient"] - 1)
        times = f"{again['seconds'] / kept['seconds']:.2f}x"
        lines.append((str(batch), *(f"{case['bytes'] / 2**20:,.0f}" for case in (kept, again)), times, f"{apart:.1e}"))
    head = ("batch", "states kept, MiB", "computed again, MiB", "time of that", "sums of gradients differ by")
    yield from _table(head, lines)


def _scaling(results: dict[str, Any], drawn: bool) -> Iterator[str]:
    """The study of cost: a plot, and one small table per axis."""
    if not any(result["item"]["axis"] for result in results.values()):
        return
    yield "## How cost grows\n"
    yield (
        "W1's network with one thing varied: the rate of input and all layers (above 30 % with a positive mean of the "
        "weights), T, the width w of 784-w-w/2-10, the batch; batch 32 where it is not varied. Time per sample, for "
        "`neuroprivacy.run` (int8) and the layer-wise torch loop, whose cost does not depend on rates.\n"
    )
    if drawn:
        yield "![Time per sample against rate, T, width and batch](performance.svg)\n"
    for axis, title in AXES.items():
        found = sorted((r for r in results.values() if r["item"]["axis"] == axis), key=lambda r: r["item"]["value"])
        lines = [
            (
                _value(axis, result),
                *(_per_sample(result, key) for key in ("ours", "torch_manual")),
                _times(ratio(result, "torch_manual", "ours")),
            )
            for result in found
            if measured(result, "ours")
        ]
        if lines:
            yield from _table((title, "ours, ms per sample", "torch loop, ms per sample", "times ours"), lines)
    lines = [
        (
            f"{result['item']['workload']}, batch {result['item']['batch']}",
            str(result["item"]["threads"]),
            *(_per_sample(result, key) for key in ("ours", "torch_manual", "bound16", "bound32")),
            _share(ratio(result, "bound16", "ours")),
        )
        for result in sorted(results.values(), key=lambda r: (r["item"]["workload"], r["item"]["threads"]))
        if result["item"]["axis"] == "threads" and measured(result, "ours")
    ]
    if lines:
        head = (
            "workload",
            "threads",
            "ours, ms per sample",
            "torch loop",
            "int16 bound",
            "int32 bound",
            "share of int16",
        )
        yield from _table(head, lines)


def _failures(results: dict[str, Any]) -> Iterator[str]:
    """Rows without a time, once more, together."""
    found = [
        f"- {result['item']['key']}, {row['title']}: {row['error']}"
        for result in results.values()
        for row in result["rows"].values()
        if "error" in row
    ]
    if found:
        yield "## Not run\n"
        yield "\n".join(found) + "\n"


def _sorted(result: dict[str, Any]) -> list[str]:
    """Competitors with times: bounds first, then the fastest."""
    found = [key for key in result["rows"] if measured(result, key)]
    return sorted(found, key=lambda key: (result["rows"][key]["kind"] != "bound", seconds(result, key).middle))


def _title(row: dict[str, Any]) -> str:
    extra = row.get("extrapolated")
    title = f"{row['title']}, extrapolated from {extra['steps']} steps" if extra else row["title"]
    return f"**{title}**" if row["kind"] == "ours" else title


def _work(row: dict[str, Any], item: dict[str, Any], time: Spread) -> str:
    """What a row was checked for; for a bound, its speed."""
    if "adds" in row:
        return f"{row['adds'] * item['batch'] / time.middle / 1e9:.1f} G adds/s"
    if "flop" in row:
        return f"{row['flop'] / median(row['seconds']) / 1e9:.0f} GFLOP/s"
    if "carried" in row:
        carried = row["carried"]
        equal = "equal to ours" if carried["equal"] else "NOT equal to ours"
        return f"{_rates(row['rates'])}; {carried['spikes']:,} spikes of {carried['steps']} steps {equal}"
    if not row.get("rates"):
        return ""
    differs = row["rates_differ"]
    said = f"{_rates(row['rates'])}, differs by {differs:.4f}"
    said += "" if differs <= item["tolerance"] else " (BEYOND the tolerance)"
    if "exact" in row:
        said += "; equal" if row["exact"]["equal"] else "; NOT equal"
    return said


def _rates(rates: dict[str, float]) -> str:
    """All layers up to three, else the range."""
    values = list(rates.values())
    if len(values) <= 3:
        return " / ".join(f"{100 * value:.1f}" for value in values) + " %"
    return f"{100 * min(values):.1f} ... {100 * max(values):.1f} %"


def _ms(time: Spread) -> str:
    return f"{_digits(time.middle * 1e3)} [{_digits(time.low * 1e3)}-{_digits(time.high * 1e3)}]"


def _digits(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _times(found: Spread | None) -> str:
    if found is None:
        return "other run"
    return f"{_digits(found.middle)} [{_digits(found.low)}-{_digits(found.high)}]"


def _share(found: Spread | None) -> str:
    return "other run" if found is None else f"{found.middle:.0%} [{found.low:.0%}-{found.high:.0%}]"


def _per_sample(result: dict[str, Any], key: str) -> str:
    if not measured(result, key):
        return "not run"
    batch, time = result["item"]["batch"], seconds(result, key)
    return _ms(Spread(middle=time.middle / batch, low=time.low / batch, high=time.high / batch))


def _value(axis: str, result: dict[str, Any]) -> str:
    """The varied value; for rates, what the layers really fired at."""
    value = result["item"]["value"]
    if axis != "rate":
        return f"{value:g}"
    rates = result["rows"]["ours"].get("rates", {})
    return f"{100 * value:g} ({_rates(rates)})" if rates else f"{100 * value:g}"


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
    yield ""
