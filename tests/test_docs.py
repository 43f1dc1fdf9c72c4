"""The pages: every link leads somewhere, and the version is the same wherever it is written."""

import re
from pathlib import Path

import pytest
import yaml

import neuroprivacy

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_links_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_documentation_lies_in_its_four_folders() -> None:
    assert {path.name for path in (ROOT / "docs").iterdir()} == {"guide", "reference", "results", "development"}


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:neuroprivacy|tests|tools|backends|hw_tests|examples|docs)/[\w/.]+)`", text)
    assert len(named) > 10
    missing = {name for name in named if "NAME" not in name and not (ROOT / name).exists()}
    assert missing <= {"tests/privacy/"}


def test_the_version_is_stated_alike() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == neuroprivacy.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", changes, re.MULTILINE)
    assert latest is not None
    assert (latest[1], latest[2]) == (citation["version"], str(citation["date-released"]))


def test_ci_runs_the_script() -> None:
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
