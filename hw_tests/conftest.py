"""The conformance kit against a real runtime: `pytest hw_tests --target NAME`.

There is no default target. Tests that cannot run are "not run", never passed. Results are written to
results/<target>/<tool>-<version>.json.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import neuroprivacy
from neuroprivacy.core.errors import BackendUnavailable
from neuroprivacy.core.storage import write_json
from neuroprivacy.runtime.backend import Backend, Record
from neuroprivacy.testing import hand_made_cases
from neuroprivacy.testing.conformance import case_inputs

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside the tests
from targets import TARGETS, Target, backend_of


@dataclass
class Session:
    """What is known about this run of the tests."""

    target: Target
    random_programs: int
    seed: int
    results: Path
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


#: Test -> how it ended; pytest's hook for it is given no place to keep this.
OUTCOMES: dict[str, str] = {}
#: What tests measured: bytes, and images that were right.
MEASURED: dict[str, object] = {}
SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hardware")
    group.addoption("--target", help=f"what to test: {', '.join(TARGETS)}")
    group.addoption("--random", type=int, metavar="N", help="random Programs (default: by target)")
    group.addoption("--seed", type=int, default=0, metavar="S", help="seed of the first random Program (default 0)")
    group.addoption("--allow-missing", action="store_true", help="a target that is not installed is not a failure")
    group.addoption("--results", type=Path, metavar="DIR", help="where results are written (default: results/)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only(target, ...): the test is about these targets")
    target = config.getoption("--target")
    if target not in TARGETS:
        given = f"{target!r} is no target" if target else "no target is given"
        raise pytest.UsageError(f"hw_tests: {given}; choose one: pytest hw_tests --target {{{','.join(TARGETS)}}}")
    number = config.getoption("--random")
    config.stash[SESSION] = Session(
        target=TARGETS[target],
        random_programs=TARGETS[target].random if number is None else number,
        seed=config.getoption("--seed"),
        results=config.getoption("--results") or config.rootpath / "results",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Run the first case, to see that the target is there and which versions it has."""
    known = session.config.stash[SESSION]
    case = hand_made_cases()[0]
    try:
        backend = backend_of(known.target)
        with tempfile.TemporaryDirectory(prefix="neuroprivacy-hw-") as folder:
            artifact = backend.build(case.program, Path(folder))
            known.versions = backend.run(artifact, case_inputs(case), Record()).versions
    except BackendUnavailable as error:
        if not session.config.getoption("--allow-missing"):
            pytest.exit(f"target {known.target.name} FAILED: {error}", returncode=1)
        known.missing = str(error)


def pytest_report_header(config: pytest.Config) -> list[str]:
    known = config.stash[SESSION]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(known.versions.items()))
    return [
        f"target: {known.target.name} ({versions or 'NOT RUN: ' + known.missing})",
        f"neuroprivacy {neuroprivacy.__version__}",
        f"random Programs: {known.random_programs} from seed {known.seed}",
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    known = config.stash[SESSION]
    others = [item for item in items for mark in item.iter_markers("only") if known.target.name not in mark.args]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
    if known.missing:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"not run: {known.missing}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    known = metafunc.config.stash[SESSION]
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(known.seed, known.seed + known.random_programs))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    return ("not run", "n", "NOT RUN") if report.skipped else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        OUTCOMES[report.nodeid] = "failed"
    elif report.skipped:
        OUTCOMES.setdefault(report.nodeid, "not run")
    elif report.when == "call":
        OUTCOMES.setdefault(report.nodeid, "passed")
        MEASURED.update(report.user_properties)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    known = session.config.stash[SESSION]
    if session.config.getoption("--collect-only") or not OUTCOMES:
        return
    tool = known.target.tool
    name = f"{tool}-{_number(known.versions[tool])}" if known.versions else "not-run"
    tally = {status: list(OUTCOMES.values()).count(status) for status in ("passed", "failed", "not run")}
    write_json(
        known.results / known.target.name / f"{name}.json",
        {
            "target": known.target.name,
            "versions": {**known.versions, "neuroprivacy": neuroprivacy.__version__},
            "missing": known.missing,
            "random_programs": known.random_programs,
            "first_seed": known.seed,
            "exit_status": int(exitstatus),
            "tally": tally,
            "measured": MEASURED,
            "outcomes": OUTCOMES,
        },
    )


def _number(version: str) -> str:
    """The number in what a tool says of itself: "gcc (Debian 12.2.0-14) 12.2.0" is 12.2.0."""
    found = re.findall(r"\d+(?:\.\w+)+", version)
    return found[-1] if found else "unknown"


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    return request.config.stash[SESSION].target


@pytest.fixture(scope="session")
def backend(target: Target) -> Backend:
    return backend_of(target)
