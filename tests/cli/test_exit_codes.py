"""Faults end in one sentence on stderr and a fixed exit code, never in a traceback."""

import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

from neuroprivacy.cli.main import COMMANDS

MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from neuroprivacy.cli import main; main()"
)


def sentence(ended, code: int, text: str) -> None:
    assert ended.code == code, (ended.code, ended.err)
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert text in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("words", [[], *[[name] for name in COMMANDS], ["backend", "check"], ["target", "show"]])
def test_help(words: list[str], cli) -> None:
    ended = cli(*words, "--help")
    assert ended.code == 0
    assert ended.out.startswith("Usage: ")
    if not words:
        assert all(name in ended.out and text[:30] in ended.out for name, (_, text) in COMMANDS.items())
    elif len(words) == 1 and words[0] not in ("backend", "target"):
        assert "--json" in ended.out


def test_the_listed_help_is_the_commands_own_name() -> None:
    from importlib import import_module

    for name, (module, _) in COMMANDS.items():
        assert import_module(f"neuroprivacy.cli.{module}_command").command.name == name


def test_usage_faults(cli, tmp_path: Path, ann: Path) -> None:
    for words in (
        ["unknown"], ["train"], ["train", "--dataset"], ["export", ann], ["train", "--nonsense"],
        ["train", "--dataset", "digits", "--model", "mlp", "--threads", "0"],
        ["train", "--dataset", "digits", "--model", "mlp", "--seed", "-1"],
        ["convert", ann, "--calibration", tmp_path, "--steps", "0"],
        ["simulate", tmp_path, "--dataset", "digits", "--samples", "0"],
        ["energy", tmp_path, "--dataset", "digits", "--samples", "-3"],
        ["export", ann, "--backend", "nir", "--steps", "0"],
    ):  # fmt: skip
        ended = cli(*words)
        assert ended.code == 2, words
        assert "Error: " in ended.err
        assert ended.out == ""


def test_a_missing_data_set(cli, tmp_path: Path) -> None:
    ended = cli("train", "--dataset", "mnist", "--model", "mlp", "--data-root", tmp_path, "--out", tmp_path / "o")
    assert ended.code == 3
    assert "Traceback" not in ended.err
    assert ended.err.startswith("error: mnist")


def test_an_unknown_data_set_and_an_unknown_model(cli, tmp_path: Path) -> None:
    sentence(cli("train", "--dataset", "nothing", "--model", "mlp", "--out", tmp_path), 2, "nothing")
    ended = cli("train", "--dataset", "digits", "--model", "resnet", "--out", tmp_path)
    sentence(ended, 2, "model: 'resnet' is unknown; choose mlp, convnet")
    ended = cli("train", "--dataset", "iris", "--model", "convnet", "--out", tmp_path)
    sentence(ended, 2, "convnet needs images")


def test_a_truncated_checkpoint(cli, ann: Path, tmp_path: Path) -> None:
    for file in ann.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    sentence(cli("synthesize", tmp_path, "--out", tmp_path / "o"), 3, "does not match its checksum; it is truncated")
    sentence(cli("synthesize", tmp_path / "nowhere"), 3, "cannot be read")


def test_the_wrong_kind_of_network(cli, ann: Path, snn: Path, tmp_path: Path) -> None:
    sentence(cli("export", ann, "--backend", "nir", "--out", tmp_path), 2, "run convert first")
    sentence(cli("synthesize", snn, "--out", tmp_path), 2, "a spiking network where an ANN is needed")
    sentence(cli("convert", ann, "--calibration", tmp_path, "--out", tmp_path), 3, "synthetic.json: cannot be read")


def test_a_file_that_is_not_nir(cli, tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    sentence(cli("export", path, "--backend", "fixedpoint"), 3, "does not exist; give a checkpoint folder or a .nir")
    path.write_text("hello")
    sentence(cli("export", path, "--backend", "fixedpoint"), 3, "is not a NIR file (NIR files are HDF5)")


def test_targets(cli, snn: Path, soft_snn: Path, tmp_path: Path) -> None:
    export = ("export", snn, "--backend", "fixedpoint", "--out", tmp_path / "o")
    sentence(cli(*export, "--target", "loihi9"), 2, "no target is called 'loihi9'; choose one of")
    sentence(cli(*export, "--target", tmp_path / "none.toml"), 3, "none.toml: cannot be read")
    assert not (tmp_path / "o").exists()
    soft = cli("export", soft_snn, "--backend", "fixedpoint", "--out", tmp_path / "o")
    assert soft.code == 2
    assert "the soft reset does not exist on loihi2; retrain with --reset hard" in soft.err
    assert "Traceback" not in soft.err
    text = (resources.files("neuroprivacy") / "targets" / "loihi2.toml").read_text()
    small = tmp_path / "small.toml"
    small.write_text(text.replace("threshold_bits = { value = 17", "threshold_bits = { value = 4"))
    ended = cli(*export, "--target", small)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.err.startswith("error: ")


def test_backends(cli, snn: Path, tmp_path: Path) -> None:
    sentence(cli("export", snn, "--backend", "nothing", "--out", tmp_path), 2, "backend: none is called 'nothing'")
    sentence(cli("backend", "check", "nothing"), 2, "none is called 'nothing'")
    ended = cli("export", snn, "--backend", "lava", "--target", "int8", "--out", tmp_path)
    assert ended.code == 2
    assert "int8 does not have the arithmetic that Lava simulates" in ended.err


def test_lava_without_a_python_for_it(cli, snn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPRIVACY_LAVA_PYTHON", "/bin/false")
    assert cli("export", snn, "--backend", "lava", "--out", tmp_path).code == 0
    ended = cli("simulate", tmp_path, "--dataset", "digits", "--samples", 2)
    assert ended.code == 4
    assert "Traceback" not in ended.err
    assert "NEUROPRIVACY_LAVA_PYTHON" in ended.err


def test_simulate(cli, snn: Path, tmp_path: Path) -> None:
    sentence(cli("simulate", tmp_path), 2, "simulate: give either --dataset or --input")
    sentence(cli("simulate", tmp_path / "none", "--dataset", "digits"), 3, "artifact.json: cannot be read")
    assert cli("export", snn, "--backend", "fixedpoint", "--out", tmp_path).code == 0
    sentence(cli("simulate", tmp_path, "--input", tmp_path / "none.npz"), 3, "none.npz: cannot be read")
    sentence(cli("simulate", tmp_path, "--dataset", "iris"), 2, "input: shape")


def test_a_folder_that_cannot_be_written(cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = cli("train", "--dataset", "iris", "--model", "mlp", "--epochs", 1, "--out", tmp_path / "file" / "x")
    assert ended.code == 2
    assert "Not a directory" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MAIN, "--debug", "export", str(tmp_path / "a.nir"), "--backend", "nir"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "BadFile" in done.stderr


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom neuroprivacy.cli import main\nsys.argv = ['neuroprivacy', {!r}]\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code\n"
        "heavy = [n for n in ('torch', 'numpy', 'numba', 'snntorch', 'matplotlib', 'nir') if n in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    for word in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code.format(word)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neuroprivacy", "target", "show", "x"], capture_output=True, check=False
    )
    assert done.returncode == 2


def train_words(out: Path, *more: str) -> list[str]:
    train = [
        "train",
        "--dataset",
        "digits",
        "--model",
        "mlp",
        "--bias",
        "--batch-size",
        "8",
        "--epochs",
        "12",
        "--seed",
        "5",
        "--json",
        "--out",
    ]
    return [sys.executable, "-c", MAIN, *train, str(out), *more]


@pytest.mark.slow
def test_ctrl_c_and_resume_end_with_the_same_weights(tmp_path: Path, cli) -> None:
    out = tmp_path / "stopped"
    process = subprocess.Popen(train_words(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out / "training.pt").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert printed == ""
    assert told.strip() == "interrupted; finished parts are stored, --resume continues from them"
    assert not (out / "weights.safetensors").exists()

    refused = cli(*train_words(out, "--resume", "--lr", "0.5")[3:])
    sentence(refused, 3, "belongs to a run with other settings (lr)")
    resumed = cli(*train_words(out, "--resume")[3:])
    assert resumed.code == 0, resumed.err
    whole = cli(*train_words(tmp_path / "whole")[3:])
    assert resumed.json["accuracy"] == whole.json["accuracy"]
    a, b = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("stopped", "whole"))
    assert a == b
