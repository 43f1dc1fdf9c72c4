"""The page: complete, escaped, the same every time, and whole without any of its sections."""

import os
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from typing import Any

import matplotlib
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.reporting import render_report
from neuroprivacy.reporting.formats import joule, number, percent, picojoule, ratio

VOID = {"meta", "br", "link", "img", "path", "use", "rect"}


class Balanced(HTMLParser):
    """Counts elements, keeps ids, and fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.ids += [value or "" for name, value in attrs if name == "id"]


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    assert len(parser.ids) == len(set(parser.ids))
    return parser


def numbers(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner, where)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield where, value


@pytest.mark.slow
def test_every_number_and_text_of_the_data_appears(data: dict[str, Any]) -> None:
    page = unescape(render_report(data))
    missing = [
        (where, value)
        for where, value in numbers(data)
        if not any(form(value) in page for form in (number, percent, joule, picojoule, ratio, str))
        # Parts whose sum is shown per network; per layer the parts are.
        and not (where.startswith(".energy.layers") and where.split(".")[-1] in UNSHOWN)
    ]
    assert not missing
    for text in (
        "note of ann",
        "encrypted → integer",
        "split it",
        "0.63",
        "fc1: v differs",
        *data["energy"]["notes"],
    ):
        assert text in page


UNSHOWN = {
    "steps", "neurons", "firing", "snn_with_updates_j", "rate_model_ratio", "break_even_spikes_per_synapse",
    "break_even_with_updates",
}  # fmt: skip


@pytest.mark.slow
def test_the_page_is_well_formed_and_loads_nothing(data: dict[str, Any]) -> None:
    page = render_report(data)
    seen = parsed(page).seen
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in seen}
    assert all(value is None or not value.startswith(("http", "//")) for tag, attrs in seen
               for name, value in attrs.items() if name in ("src", "href", "xlink:href"))  # fmt: skip
    assert "url(http" not in page
    assert "@import" not in page
    charts = [attrs for tag, attrs in seen if tag == "svg"]
    assert len(charts) == 2
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)


@pytest.mark.slow
def test_everything_is_escaped(data: dict[str, Any]) -> None:
    evil = '<script>alert("x")</script>&$x^2$'

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {(evil + k if k in ("fc1", "lava", "python") else k): poison(v) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(inner) for inner in value]
        return evil + value if isinstance(value, str) else value

    page = render_report(poison(data))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    parsed(page)


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes(data: dict[str, Any]) -> None:
    first = render_report(data)
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        assert render_report(dict(reversed(data.items()))) == first
    assert not any(stamp in first for stamp in ("<dc:date>", "Matplotlib v"))


@pytest.mark.slow
def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import hashlib; from neuroprivacy.reporting import render_report; "
        "print(hashlib.sha256(render_report("
        "{'stages': [{'name': 'ann', 'accuracy': 0.5, 'samples': 9}]}).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


@pytest.mark.slow
def test_every_section_may_be_missing(data: dict[str, Any]) -> None:
    parsed(render_report({}))
    for name in data:
        parsed(render_report({key: value for key, value in data.items() if key != name}))
        parsed(render_report({name: data[name]}))


def test_optional_fields_may_be_missing() -> None:
    page = render_report(
        {
            "stages": [{"name": "integer", "accuracy": 1}],
            "layers": [{"name": "fc1"}],
            "backends": {"c99": {"samples": 1, "identical": True}},
            "issues": [],
            "weight_change": {"fc1": {}},
            "target": {"name": "mine"},
            "dataset": {"name": "d"},
            "model": {"spec": "text"},
        }
    )
    parsed(page)
    assert "None" not in page.replace("None was found", "")


@pytest.mark.slow
def test_privacy_is_said_to_be_unmeasured_unless_it_is_there(data: dict[str, Any]) -> None:
    assert "Not measured in this report" not in render_report(data)
    del data["privacy"]
    page = render_report(data)
    assert "Not measured in this report" in page
    assert "obfuscation and has no key" in page


def test_a_ratio_below_one_is_said_as_plainly(data: dict[str, Any]) -> None:
    for model, (alone, both) in zip(data["energy"]["models"], ((8.5, 2.5), (3.5, 0.25), (0.43, 0.12)), strict=True):
        model["ratio"], model["ratio_with_updates"] = alone, both
    page = render_report(data)
    assert "The SNN is cheaper, neuron updates included." in page
    assert "The SNN is cheaper by its synapses, the ANN once neuron updates count." in page
    assert "The ANN is cheaper." in page
    assert all(f">{text}<" in page for text in ("8.50×", "2.50×", "0.430×", "0.120×"))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"stages": [{"name": "ann", "accuracy": 97.2}]}, r"stages\.0\.accuracy"),
        ({"layers": 3, "issues": [{}]}, "layers.*issues"),
        ({"target": {"name": "loihi2", "membrane_max": 8388607}}, r"target\.membrane_max: Unexpected"),
        ({"sweep": {"point": 1}}, r"sweep: Unexpected"),
        ({"issues": [{"where": "a", "what": "b", "severity": 1}]}, r"issues\.0\.severity: Unexpected"),
        ({"timing": {"train": float("nan")}}, "holds what JSON cannot"),
        ({"provenance": {"path": object()}}, "holds what JSON cannot"),
    ],
)
def test_unknown_or_impossible_fields_are_refused(fault: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        render_report(fault)


@pytest.mark.slow
def test_every_part_refuses_unknown_fields(data: dict[str, Any]) -> None:
    """What is written and what is read are the same classes: nothing is ignored at any depth."""
    open_parts = (
        "provenance",
        "timing",
        "encoder",
        "program",
        "privacy",
        "further",
        "spec",
        "versions",
        "weight_change",
    )

    def parts(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            if value is not data["backends"]:
                yield value
            for name, inner in value.items():
                yield from parts(inner) if name not in open_parts else ()
        elif isinstance(value, list):
            for inner in value:
                yield from parts(inner)

    found = list(parts(data))
    assert len(found) > 20
    for part in found:
        part["unheard_of"] = 1
        with pytest.raises(ConfigurationError, match="unheard_of: Unexpected"):
            render_report(data)
        del part["unheard_of"]
    render_report(data)
