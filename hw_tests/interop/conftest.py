"""`pytest hw_tests/interop --peer NAME`: our NIR files in the peers, and theirs here.

There is no default peer, and nothing is installed unasked: without `--peer` every test is "not run". This folder's
tests belong to no `--target`: `pytest hw_tests --target NAME` leaves them out, and they do without that option.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("interoperation")
    group.addoption("--peer", action="append", metavar="NAME", help="a peer to test with, or all; may be given again")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Called only where this folder is named: the conformance kit's demand for a target is not for these tests.

    An empty plugin takes the place of its conftest; merely taken away, it would be loaded again on collection.
    """
    known = {*tomllib.loads((HERE / "environments.toml").read_text()), "all"}
    unknown = set(config.getoption("--peer") or ()) - known
    if unknown:
        raise pytest.UsageError(f"--peer: {', '.join(sorted(unknown))} is none of {', '.join(sorted(known))}")
    kit = str(HERE.parent / "conftest.py")
    if config.pluginmanager.has_plugin(kit) and config.getoption("--target", None) is None:
        config.pluginmanager.unregister(name=kit)
        config.pluginmanager.register(ModuleType("without_target"), kit)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """A run with a target is the conformance kit's."""
    return True if config.getoption("--target", None) else None


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    return ("not run", "n", "NOT RUN") if report.skipped else None
