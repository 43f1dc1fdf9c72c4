"""`neuroprivacy doctor`: installed and missing parts, and remedies."""

from __future__ import annotations

import os

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import show, table


@click.command("doctor")
@options.as_json
def command(as_json: bool) -> None:
    """Show what this machine has and what is missing; exit code 0 even if optional parts are missing."""
    from neuroprivacy.core.errors import NeuroPrivacyError
    from neuroprivacy.core.provenance import machine, versions
    from neuroprivacy.data import dataset_names, load_dataset
    from neuroprivacy.runtime.backend import backend_names

    found: dict[str, dict[str, object]] = {}
    for name, version in versions().items():
        found[name] = {"ok": True, "detail": version}
    for name, value in machine().items():
        found[f"machine {name}"] = {"ok": True, "detail": str(value)}
    found["backends"] = {"ok": True, "detail": ", ".join(backend_names())}
    for name in backend_names():
        found[f"backend {name}"] = _diagnose(name)
    for name in dataset_names():
        try:
            samples = len(load_dataset(name).train_labels)
            found[f"data {name}"] = {"ok": True, "detail": f"{samples} training samples"}
        except NeuroPrivacyError as error:
            found[f"data {name}"] = {"ok": False, "detail": str(error)}
    found["NEUROPRIVACY_DATA"] = {"ok": True, "detail": os.environ.get("NEUROPRIVACY_DATA", "not set")}
    rows = [["ok" if entry["ok"] else "--", name, entry["detail"]] for name, entry in found.items()]
    show(found, as_json=as_json, text=table(rows, header=["", "what", "found"]))


def _diagnose(name: str) -> dict[str, object]:
    """Check whether a backend runs one small network."""
    from neuroprivacy.core.errors import NeuroPrivacyError
    from neuroprivacy.testing.conformance import try_backend

    try:
        return {"ok": True, "detail": f"runs; {try_backend(name)}"}
    except NeuroPrivacyError as error:
        return {"ok": False, "detail": str(error)}
