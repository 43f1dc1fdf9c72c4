"""What the README says can be done as it says it."""

import re
import shlex
from pathlib import Path

import click
import pytest
import torch

from neuroprivacy.cli.main import COMMANDS, cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
#: Every command line in a block, and every one in backticks that is spelt out.
LINES = [
    line.split("#")[0].strip()
    for _, block in BLOCKS
    for line in block.splitlines()
    if line.strip().startswith("neuroprivacy ")
] + [line for line in re.findall(r"`(neuroprivacy [^`]+)`", README) if not re.search(r"\b[A-Z]{4,}\b", line)]


def test_there_are_commands_to_check() -> None:
    assert len(LINES) > 7
    assert {shlex.split(line)[1] for line in LINES} <= COMMANDS.keys()


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_parses(line: str) -> None:
    command: click.Command | None = cli
    words = shlex.split(line)
    while isinstance(command, click.Group):
        words = words[1:]
        command = command.get_command(click.Context(command), words[0])
    assert command is not None, line
    command.make_context(words[0], words[1:])


def test_every_command_line_runs_without_a_download() -> None:
    datasets = {words[words.index("--dataset") + 1] for words in map(shlex.split, LINES) if "--dataset" in words}
    assert datasets <= {"digits", "iris", "breast-cancer"}


def test_options_that_the_text_names_exist() -> None:
    known = {"--debug", "--quiet", "--help", "--version"}
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        commands = [*command.commands.values()] if isinstance(command, click.Group) else [command]
        known |= {option for each in commands for parameter in each.params for option in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"```.*?```", "", README, flags=re.DOTALL)))
    named -= {"--target"} if "pytest hw_tests --target" in README else set()
    assert named <= known


@pytest.mark.slow
def test_the_python_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python"]
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert 0.5 < float(capsys.readouterr().out.split()[-1]) <= 1


def test_files_that_the_text_links_exist() -> None:
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert not [link for link in links if not (root / link).exists()]
