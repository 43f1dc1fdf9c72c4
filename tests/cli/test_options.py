"""Options that several commands share: the field's names, and the older or foreign ones that are accepted."""

import click
import pytest
from click.testing import CliRunner

from neuroprivacy.cli import options
from neuroprivacy.core.errors import ConfigurationError


@click.command()
@options.reset
@options.time_steps
def command(reset: str, time_steps: int) -> None:
    click.echo(f"{reset} {time_steps}")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "hard 16"),
        (["--reset", "zero", "--steps", "4"], "hard 4"),
        (["--reset", "subtract", "--time-steps", "5"], "soft 5"),
        (["--reset", "soft"], "soft 16"),
    ],
)
def test_both_names_are_accepted(words: list[str], text: str) -> None:
    assert CliRunner().invoke(command, words).output.strip() == text


def test_other_names_are_refused() -> None:
    ended = CliRunner().invoke(command, ["--reset", "none"])
    assert ended.exit_code == 2
    assert "'none' is not one of 'hard', 'soft'" in ended.output


def test_exactly_one_input() -> None:
    with pytest.raises(ConfigurationError, match="run: give either --dataset or --input"):
        options.refuse_both("run", None, None)
    options.refuse_both("run", "digits", None)
