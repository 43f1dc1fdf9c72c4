"""`neuroprivacy trace`: the first divergence of two runs of a network, and its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.lowering import lower_options, lowering
from neuroprivacy.cli.output import show, table


@click.command("trace")
@click.argument("model", type=options.FILE)
@click.option(
    "--between", default="float,reference", show_default=True, help="Two of float, torch, reference and the backends."
)
@options.source
@options.dataset("Encode samples of the test split of a data set instead.")
@click.option("--samples", type=options.COUNT, default=20, show_default=True, help="Number of samples, the first ones.")
@options.out("runs/trace")
@options.data_root
@lowering
@options.as_json
def command(
    model: Path, between: str, source: Path | None, dataset: str | None, samples: int, out: Path,
    data_root: Path | None, target: str, choices: dict[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Run MODEL twice on the same input and find the first step, layer and neuron that differ; writes trace.html."""
    from neuroprivacy.core.errors import ConfigurationError
    from neuroprivacy.divergence import trace
    from neuroprivacy.export.model import model_graph, torch_run
    from neuroprivacy.lowering import lower
    from neuroprivacy.reporting import write_trace
    from neuroprivacy.runtime.exported import load_inputs

    names = tuple(name.strip() for name in between.split(","))
    if len(names) != 2:
        raise ConfigurationError(f"trace: --between names {len(names)} sides; give two, as in float,reference")
    options.refuse_both("trace", dataset, source)
    graph = model_graph(model)
    lowered = lower(graph, target=target, options=lower_options(graph, choices))
    data = options.load(dataset, data_root)
    inputs = load_inputs(lowered.program, data or source, samples=samples)
    found = trace(lowered, between=(names[0], names[1]), inputs=inputs, torch_run=torch_run(model, lowered))
    described = found.describe()
    page = write_trace(out, described)
    text = f"{found.sentence()}\n\n{_layers(described, names)}\n\nwritten: {page}"
    show(described, as_json=as_json, text=text)


def _layers(described: dict[str, Any], names: tuple[str, ...]) -> str:
    """The table of layers, one row each."""
    rows = [
        [each["layer"], *(f"{100 * rate:.2f}" for rate in each["rates"]), f"{100 * each['differing']:.3f}",
         *(f"{100 * share:.0f}" for share in each["use"] or (float("nan"),) * 3), each["saturations"], each["wraps"],
         f"{each['clipped']}/{each['weights']}"]
        for each in described["layers"]
    ]  # fmt: skip
    header = ["layer", f"{names[0]} %", f"{names[1]} %", "differing %", "a use %", "u use %", "v use %", "saturated",
              "wrapped", "clipped"]  # fmt: skip
    return table(rows, header=header)
