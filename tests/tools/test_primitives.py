"""docs/reference/primitives.md is what the code does, and says it of every primitive of NIR."""

from pathlib import Path

import pytest

from tools import primitives

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "primitives.md"


@pytest.mark.slow
def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == primitives.page(), "run: python -m tools.primitives"


def test_every_primitive_of_nir_stands_there() -> None:
    known = (
        "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "Delay", "Threshold", "I",
        "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Input", "Output", "NIRGraph",
    )  # fmt: skip
    written = PAGE.read_text(encoding="utf-8")
    assert [name for name in known if f"| {name} " not in written and f"| {name}, " not in written] == ["Output"]


@pytest.mark.slow
def test_a_page_that_differs_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.md"
    assert primitives.main(["--out", str(out)]) == 0
    assert primitives.main(["--out", str(out), "--check"]) == 0
    out.write_text(out.read_text().replace("exact", "rounded", 1))
    assert primitives.main(["--out", str(out), "--check"]) == 1
    assert "differs from the code" in capsys.readouterr().out
