"""From the data of a report to one HTML page that loads nothing, runs nothing and escapes everything."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from neuroprivacy.reporting.accuracy_chart import accuracy_chart, interval
from neuroprivacy.reporting.energy_chart import energy_chart
from neuroprivacy.reporting.formats import flatten, joule, number, percent, picojoule, points, ratio
from neuroprivacy.reporting.schema import Report, WeightChange, check_report
from neuroprivacy.targets.spec import load_target, target_names


def render_report(data: Mapping[str, Any]) -> str:
    """The page of a report; the same data give the same text.

    Args:
        data: as `neuroprivacy.reporting.schema.Report` describes it.

    Raises:
        ConfigurationError: `data` is not a report.
    """
    report = check_report(data)
    return render_page(
        "template.html",
        r=report,
        accuracy=accuracy_chart(report.stages),
        energy_bars=energy_chart(report.energy.models) if report.energy else None,
        membrane_limit=membrane_limit(report),
        highest_rate=max((layer.rate or 0 for layer in report.layers), default=0),
        weight_change=_in_layer_order(report),
        further=report.further,
    )  # fmt: skip


def render_page(template: str, **values: Any) -> str:
    """A page of its own template in the reports' style."""
    return _environment().get_template(template).render(style=Markup(_read("style.css")), **values)


def membrane_limit(report: Report) -> int | None:
    """The largest |v| that the target holds: as the report says, else by the name of a shipped target."""
    if report.target is None:
        return None
    if report.target.membrane_limit is not None:
        return report.target.membrane_limit
    shipped = report.target.name in target_names()
    return load_target(report.target.name).membrane_range[1] if shipped else None


def _in_layer_order(report: Report) -> list[tuple[str, WeightChange]]:
    """The weight changes in the order of the layers, others after them."""
    place = {layer.name: i for i, layer in enumerate(report.layers)}
    return sorted(report.weight_change.items(), key=lambda item: place.get(item[0], len(place)))


def _environment() -> Environment:
    """Jinja with escaping on for everything and an error for every misspelt name."""
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=number,
        percent=percent,
        points=points,
        joule=joule,
        picojoule=picojoule,
        ratio=ratio,
        flatten=flatten,
    )
    environment.globals.update(interval=interval)
    return environment


def _read(name: str) -> str:
    """Read a template or style file of this package."""
    return (resources.files("neuroprivacy.reporting") / name).read_text(encoding="utf-8")
