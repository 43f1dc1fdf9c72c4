"""ANN against SNN under every cost model: bars relative to the model's ANN, joule written beside them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from neuroprivacy.energy.record import ModelRecord
from neuroprivacy.reporting.charts import ANN, INK, RULE, SNN, UPDATES, drawing, to_svg
from neuroprivacy.reporting.formats import joule


def energy_chart(models: Sequence[ModelRecord]) -> Markup | None:
    """Two bars per model: the ANN's at 1, the SNN's synapses and neuron updates; None without an ANN.

    Absolute energies of the models differ by their constants and not by the network; so each model has the
    length of its own ANN for a unit, on one linear axis.
    """
    shown = [model for model in models if model.ann_j > 0]
    if not shown:
        return None
    longest = max(1.0, *(model.snn_with_updates_j / model.ann_j for model in shown))
    with drawing(1.0 + 0.85 * len(shown)) as (figure, axes):
        for place, model in enumerate(shown):
            synapses, updates = model.snn_j / model.ann_j, model.updates_j / model.ann_j
            axes.barh(place - 0.19, 1, height=0.34, color=ANN)
            axes.barh(place + 0.19, synapses, height=0.34, color=SNN)
            axes.barh(
                place + 0.19, updates, left=synapses, height=0.34, facecolor="none", edgecolor=UPDATES,
                hatch="////", linewidth=0.8,
            )  # fmt: skip
            both = f"{joule(model.snn_j)} + {joule(model.updates_j)}"
            for offset, end, text in ((-0.19, 1.0, joule(model.ann_j)), (0.19, synapses + updates, both)):
                axes.annotate(
                    text, (end, place + offset), xytext=(6, 0), textcoords="offset points", va="center",
                    fontsize=10, color=INK,
                )  # fmt: skip
        axes.set_yticks(range(len(shown)), [model.name for model in shown])
        axes.tick_params(axis="y", colors=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.38)
        axes.set_xlabel("energy per inference, ANN of the same cost model = 1")
        axes.grid(axis="x", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        described = "; ".join(
            f"{m.name}: ANN {joule(m.ann_j)}, SNN {joule(m.snn_j)}, with neuron updates {joule(m.snn_with_updates_j)}"
            for m in shown
        )
        return to_svg(figure, name="energy", description=f"Energy per inference. {described}.")
