"""Accuracy from stage to stage, with 95 % intervals and the change at each stage."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from markupsafe import Markup

from neuroprivacy.reporting.charts import INK, MUTED, RULE, SNN, drawing, to_svg
from neuroprivacy.reporting.formats import percent, points
from neuroprivacy.reporting.schema import StageRow

#: Characters of a stage's label before it breaks.
_LABEL_WIDTH = 16


def interval(accuracy: float, samples: int | None) -> tuple[float, float] | None:
    """95 % interval of an accuracy measured on `samples` (Wilson's score interval); None without samples."""
    if not samples:
        return None
    from scipy.stats import binomtest  # half a second, which a page without accuracies does not need

    found = binomtest(round(accuracy * samples), samples).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def accuracy_chart(stages: Sequence[StageRow]) -> Markup | None:
    """Stages from left to right, accuracy upwards, 95 % intervals, points lost between; None if empty."""
    if not stages:
        return None
    values = [100 * stage.accuracy for stage in stages]
    ranges = [interval(stage.accuracy, stage.samples) for stage in stages]
    low = min([*values, *(100 * r[0] for r in ranges if r)])
    high = max([*values, *(100 * r[1] for r in ranges if r)])
    room = max(2.0, 0.28 * (high - low))
    with drawing(3.5) as (figure, axes):
        places = range(len(stages))
        axes.plot(places, values, color=RULE, linewidth=1.5, zorder=1)
        for place, bounds in zip(places, ranges, strict=True):
            if bounds:
                axes.plot([place, place], [100 * b for b in bounds], color=SNN, linewidth=5, alpha=0.25, zorder=2)
        axes.plot(places, values, "o", color=SNN, markersize=8, zorder=3)
        for place, stage, value in zip(places, stages, values, strict=True):
            following = values[place + 1] if place + 1 < len(values) else value
            value_at, change_at = _offsets(following - value) if place else (5, 0)
            axes.annotate(
                percent(stage.accuracy), (place, value), xytext=(9, value_at), textcoords="offset points",
                color=INK, fontsize=12, fontweight="bold",
            )  # fmt: skip
            if place:
                lost = stage.accuracy - stages[place - 1].accuracy
                axes.annotate(
                    points(lost), (place, value), xytext=(9, change_at), textcoords="offset points",
                    color=MUTED, fontsize=10,
                )  # fmt: skip
        axes.set_xticks(places, [fill(stage.title or stage.name, _LABEL_WIDTH) for stage in stages])
        axes.tick_params(axis="x", colors=INK, pad=6)
        axes.set_xlim(-0.25, len(stages) - 0.35)
        axes.set_ylim(max(0.0, low - room / 2), min(100.0 + room / 3, high + room / 2))
        axes.set_ylabel("test accuracy, %")
        axes.grid(axis="y", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        described = ", ".join(f"{stage.title or stage.name} {percent(stage.accuracy)}" for stage in stages)
        return to_svg(figure, name="accuracy", description=f"Test accuracy by stage: {described}.")


def _offsets(rise: float) -> tuple[int, int]:
    """Heights of a point's two labels, in points, out of the way of the line that goes on to the right."""
    if rise == 0:
        return 5, -13
    return (19, 5) if rise < 0 else (-15, -28)
