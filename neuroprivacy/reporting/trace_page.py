"""The page of a trace: where two runs part, drawn, and a table of all layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from neuroprivacy.core.storage import write_json, write_text
from neuroprivacy.reporting.charts import ANN, INK, MUTED, RULE, SNN, drawing, to_svg
from neuroprivacy.reporting.render import render_page

#: Steps that are drawn before and behind the divergence.
_AROUND = 24


def write_trace(folder: Path, trace: Mapping[str, Any]) -> Path:
    """Write `trace.json` and `trace.html` into `folder`; returns the page's path.

    Args:
        folder: is made if needed.
        trace: as `Trace.describe` gives it.
    """
    page = render_page("trace_template.html", t=trace, chart=divergence_chart(trace))
    write_json(folder / "trace.json", dict(trace))
    write_text(folder / "trace.html", page)
    return folder / "trace.html"


def divergence_chart(trace: Mapping[str, Any]) -> Markup | None:
    """The membrane of the first neuron that differs on both sides, its threshold and its spikes; None if none does."""
    first = trace["first"]
    if first is None:
        return None
    names = trace["between"]
    begin, end = max(0, first["step"] - _AROUND), min(trace["steps"], first["step"] + _AROUND + 1)
    steps = list(range(begin, end))
    with drawing(3.4) as (figure, axes):
        axes.axvspan(first["step"] - 0.5, first["step"] + 0.5, color=RULE, alpha=0.6, linewidth=0)
        drawn: list[float] = []
        for side, (colour, style) in enumerate(((ANN, "-"), (SNN, "--"))):
            membrane = first["membranes"][side]
            if membrane is not None:
                values = membrane[begin:end]
                drawn += values
                axes.plot(steps, values, style, color=colour, linewidth=1.8, marker="o", markersize=3.2)
        if first["threshold"] is not None and drawn:
            axes.axhline(first["threshold"], color=MUTED, linewidth=1, linestyle=":")
            axes.annotate(
                "threshold", (end - 0.5, first["threshold"]), xytext=(6, 0), textcoords="offset points", va="center",
                color=MUTED, fontsize=10, annotation_clip=False,
            )  # fmt: skip
            drawn.append(first["threshold"])
        _spikes(axes, first["spikes"], begin, end, drawn)
        axes.set_xlabel("input step")
        axes.set_ylabel("membrane")
        axes.spines["left"].set_visible(True)
        handles = [axes.plot([], [], style, color=colour)[0] for colour, style in ((ANN, "-"), (SNN, "--"))]
        axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, labelcolor=INK, fontsize=10
        )
        return to_svg(
            figure, name="divergence", description=f"Membrane of the first neuron that differs: {trace['sentence']}"
        )


def _spikes(axes: Any, spikes: Sequence[Sequence[float]], begin: int, end: int, drawn: list[float]) -> None:
    """Draw the spikes of both runs as ticks above the membranes."""
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 1.0)
    height = max(high - low, 1e-9)
    for side, colour in enumerate((ANN, SNN)):
        at = [step for step in range(begin, end) if spikes[side][step]]
        foot = high + height * (0.08 + 0.12 * side)
        axes.vlines(at, foot, foot + 0.09 * height, color=colour, linewidth=2)
    axes.annotate(
        "spikes", (end - 0.5, high + height * 0.19), xytext=(6, 0), textcoords="offset points", va="center",
        color=MUTED, fontsize=10, annotation_clip=False,
    )  # fmt: skip
