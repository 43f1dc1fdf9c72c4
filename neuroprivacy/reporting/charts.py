"""The page's charts: matplotlib draws SVG, the page's style sheet colours it.

Marks are drawn in stand-in colours that become CSS variables, so that one drawing serves light, dark and
paper. Text stays text. The same data give the same bytes: no dates, a fixed salt for ids, no
settings of the user.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Stand-in colour -> CSS variable of style.css.
INK, MUTED, RULE, ANN, SNN, UPDATES = (f"#0{i}0{i}0{i}" for i in range(1, 7))
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", ANN: "ann", SNN: "snn", UPDATES: "updates"}
_WIDTH_IN = 7.6
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "neuroprivacy",
    "text.parse_math": False,
    "font.size": 11.0,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "hatch.color": UPDATES,
}


@contextmanager
def drawing(height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one plain pair of axes, under our settings alone."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        yield figure, axes


def to_svg(figure: Figure, *, name: str, description: str) -> Markup:
    """Inline SVG that scales with the page; to be called within `drawing`.

    Args:
        figure: what was drawn.
        name: prefix of all ids, unique on the page.
        description: text alternative of the drawing.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    box = re.search(r'viewBox="([^"]+)"', text)
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    # matplotlib escapes the text of the drawing, so that the whole is safe.
    head = (
        f'<svg class="chart" role="img" aria-label="{escape(description)}" viewBox="{box[1] if box else ""}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return Markup(head + body.strip())
