"""`neuroprivacy backend`: list, set up, check."""

from __future__ import annotations

import click

from neuroprivacy.cli import options
from neuroprivacy.cli.output import show, table
from neuroprivacy.core.errors import CheckFailed


@click.group("backend")
def command() -> None:
    """List, set up and check backends."""


@command.command("list")
@options.as_json
def list_backends(as_json: bool) -> None:
    """List the installed backends, shipped and third-party."""
    from importlib.metadata import entry_points

    from neuroprivacy.runtime.backend import GROUP

    found = {p.name: {"module": p.value, "package": p.dist.name if p.dist else ""} for p in entry_points(group=GROUP)}
    rows = [[name, entry["module"], entry["package"]] for name, entry in sorted(found.items())]
    show(found, as_json=as_json, text=table(rows, header=["backend", "module", "package"]))


@command.command("setup")
@click.argument("name")
@options.as_json
def setup(name: str, as_json: bool) -> None:
    """Install what backend NAME needs, by running one network on it."""
    from neuroprivacy.testing.conformance import try_backend

    versions = try_backend(name)
    show({"backend": name, "versions": versions}, as_json=as_json, text=f"{name}: ready ({versions})")


@command.command("check")
@click.argument("name")
@click.option("--random", "random_programs", default=20, show_default=True, help="Number of random Programs.")
@options.seed
@options.as_json
def check(name: str, random_programs: int, seed: int, as_json: bool) -> None:
    """Compare backend NAME with the reference: every hand-made case, and random Programs."""
    tally = _check(name, random_programs=random_programs, seed=seed)
    text = ", ".join(f"{count} {status}" for status, count in tally.items())
    show({"backend": name, **tally}, as_json=as_json, text=f"{name}: {text}")


def _check(name: str, *, random_programs: int, seed: int) -> dict[str, int]:
    """Run the conformance kit; exit code 1 on a failure."""
    from neuroprivacy.testing import check_backend

    report = check_backend(name, random_programs=random_programs, first_seed=seed)
    if not report.passed:
        lines = [f"{outcome.case}: {outcome.detail}" for outcome in report.failures[:10]]
        raise CheckFailed(f"{name}: {len(report.failures)} cases failed\n" + "\n".join(lines))
    return report.tally()
