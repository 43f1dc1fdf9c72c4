"""The shape of a complaint, and the exit codes."""

import inspect
import re

import pytest

from neuroprivacy.core import errors
from neuroprivacy.core.errors import BadFile, DoesNotFit, Issue, NeuroPrivacyError, OutOfRange, raise_fatal

CODES = {
    "NeuroPrivacyError": 2, "ConfigurationError": 2, "UnsupportedNode": 2, "OutOfRange": 2, "DoesNotFit": 2,
    "BackendNotFound": 2, "CheckFailed": 1, "BadFile": 3, "DataNotFound": 3,
    "BackendUnavailable": 4, "WorkerFailed": 1,
}  # fmt: skip


def classes() -> dict[str, type[NeuroPrivacyError]]:
    return {
        name: value
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, NeuroPrivacyError)
    }


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict(re.findall(r"^ *[├└─ ]*(\w+) +exit (\d)", errors.__doc__ or "", re.MULTILINE))
    assert {name: int(code) for name, code in drawn.items()} == CODES
    assert {name: kind.exit_code for name, kind in classes().items()} == CODES


def test_exit_codes() -> None:
    assert (errors.EXIT_OK, errors.EXIT_CHECK_FAILED, errors.EXIT_USAGE) == (0, 1, 2)
    assert (errors.EXIT_BAD_FILE, errors.EXIT_MISSING_TOOL, errors.EXIT_INTERRUPTED) == (3, 4, 130)


@pytest.mark.parametrize(
    ("issue", "text"),
    [
        (
            Issue(
                where="fc1",
                what="fan-in",
                value=4097,
                limit=4096,
                hint="split the layer or choose another target",
            ),
            "fc1: fan-in (4097) exceeds 4096; split the layer or choose another target",
        ),
        (Issue(where="fc1", what="weight", value=0), "fc1: weight (0)"),
        (Issue(where="fc1", what="nothing feeds this layer"), "fc1: nothing feeds this layer"),
        (Issue(where="a", what="b", hint="c"), "a: b; c"),
        (Issue(where="a", what="b", limit=0), "a: b exceeds 0"),
    ],
)
def test_an_issue_reads_as_one_sentence(issue: Issue, text: str) -> None:
    assert str(issue) == text


def test_all_issues_are_listed_a_line_each() -> None:
    issues = (Issue(where="a", what="x", value=1), Issue(where="b", what="y", value=2))
    error = OutOfRange.of(issues)
    assert type(error) is OutOfRange
    assert (str(error), error.issues) == ("a: x (1)\nb: y (2)", issues)


def test_only_fatal_issues_stop() -> None:
    remark = Issue(where="a", what="x", fatal=False)
    raise_fatal(DoesNotFit, [remark])
    raise_fatal(DoesNotFit, [])
    with pytest.raises(DoesNotFit, match=r"^b: y$") as caught:
        raise_fatal(DoesNotFit, [remark, Issue(where="b", what="y")])
    assert [issue.where for issue in caught.value.issues] == ["b"]


def test_a_bad_file_is_named_with_reason_and_hint() -> None:
    error = BadFile("net.npz", "is empty", hint="export again")
    assert (str(error), error.path, error.reason) == (
        "net.npz: is empty; export again",
        "net.npz",
        "is empty",
    )
    assert str(BadFile("net.npz", "is empty")) == "net.npz: is empty"
