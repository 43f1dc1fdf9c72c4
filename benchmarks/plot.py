"""The plot of the page: time per sample against rate, T, width and batch, ours and the layer-wise torch loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.figures import measured, seconds

#: Axis of the scaling study -> its title.
AXES = {"rate": "firing rate, %", "steps": "time steps T", "width": "width w of 784-w-w/2-10", "batch": "batch"}
_SERIES = {"ours": ("neuroprivacy (int8)", "#0b6e4f", "o"), "torch_manual": ("layer-wise torch loop", "#8a8a8a", "s")}
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "neuroprivacy", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#666666", "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.6,
}  # fmt: skip


def draw(results: dict[str, Any], path: Path) -> bool:
    """Draw what there is of the scaling study; false, and no file, if there is nothing.

    Args:
        results: by item.
        path: of the SVG.
    """
    found = {axis: _points(results, axis) for axis in AXES}
    if not any(found.values()):
        path.unlink(missing_ok=True)
        return False
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_SETTINGS}):
        figure = Figure(figsize=(8.2, 5.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(2, 2)
        for panel, (axis, title) in zip(axes.flat, AXES.items(), strict=True):
            for key, (name, colour, mark) in _SERIES.items():
                points = [(x, low, middle, high) for x, which, low, middle, high in found[axis] if which == key]
                if not points:
                    continue
                x, low, middle, high = zip(*points, strict=True)
                panel.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
                panel.plot(x, middle, color=colour, marker=mark, markersize=3.5, linewidth=1.3, label=name)
            ticks = sorted({point[0] for point in found[axis]})
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_formatter("{x:g}")
            panel.set_xlabel(title)
        for panel in axes[:, 0]:
            panel.set_ylabel("ms per sample")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _points(results: dict[str, Any], axis: str) -> list[tuple[float, str, float, float, float]]:
    """(value, competitor, low, median, high) of an axis in ms per sample, in order."""
    points = []
    for result in results.values():
        item = result["item"]
        if item["axis"] != axis:
            continue
        scale = 1e3 / item["batch"]
        value = item["value"] * (100 if axis == "rate" else 1)
        for key in _SERIES:
            if measured(result, key):
                time = seconds(result, key)
                points.append((value, key, time.low * scale, time.middle * scale, time.high * scale))
    return sorted(points)
