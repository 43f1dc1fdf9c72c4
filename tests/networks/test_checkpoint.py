"""Checkpoints: the same bits back, and a named refusal of whatever was damaged on the way."""

import json
import os
import resource
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.core.storage import digest
from neuroprivacy.networks import (
    SpikingSpec,
    build_ann,
    build_snn,
    load_checkpoint,
    model_spec,
    save_checkpoint,
)
from neuroprivacy.networks.checkpoint import ann_spec, content_digest

MODEL = model_spec("convnet", input_shape=(1, 8, 8), classes=3, hidden=(6,), width=0.2, bias=True, batch_norm=True)
PLAIN = model_spec("convnet", input_shape=(1, 8, 8), classes=3, hidden=(6,), width=0.2, bias=True)
SPIKING = SpikingSpec(beta=0.9, reset="soft", time_steps=5, surrogate="atan")


def ann(folder: Path) -> nn.Module:
    net = build_ann(MODEL)
    with torch.no_grad():
        net(torch.rand(4, 1, 8, 8))  # batch norm has statistics of its own
    save_checkpoint(net, folder, spec=MODEL, info={"seed": 3, "note": "über"})
    return net


def same_bits(a: nn.Module, b: nn.Module) -> bool:
    return a.state_dict().keys() == b.state_dict().keys() and all(
        x.numpy().tobytes() == y.numpy().tobytes()
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_an_ann_comes_back_bit_for_bit(tmp_path: Path) -> None:
    net = ann(tmp_path / "a")
    found = load_checkpoint(tmp_path / "a")
    assert same_bits(net, found.ann)
    assert not found.ann.training
    assert found.info == {"seed": 3, "note": "über"}
    assert ann_spec(tmp_path / "a") == MODEL
    assert same_bits(load_checkpoint(tmp_path / "a" / "model.json").ann, net)
    with pytest.raises(ConfigurationError, match="ANN where a spiking network is needed; run convert first"):
        _ = found.spiking


def test_a_spiking_network_comes_back_bit_for_bit(tmp_path: Path) -> None:
    net = build_snn(PLAIN, SPIKING)
    net.layers.act1.threshold.fill_(0.123456789)
    save_checkpoint(net, tmp_path)
    found = load_checkpoint(tmp_path)
    assert same_bits(net, found.spiking)
    assert found.spiking.spec == SPIKING
    assert found.spiking.nodes == net.nodes
    with pytest.raises(ConfigurationError, match="spiking network where an ANN is needed"):
        ann_spec(tmp_path)
    with pytest.raises(ConfigurationError, match="spiking network where an ANN is needed"):
        _ = found.ann


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    net = build_snn(PLAIN, SPIKING)
    for name in ("a", "b"):
        save_checkpoint(net, tmp_path / name)
    for file in ("model.json", "weights.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(f"pickle.{name}", refuse)
    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("torch.save", refuse)
    ann(tmp_path)
    load_checkpoint(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]
    assert not any(zipfile.is_zipfile(p) for p in tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights(tmp_path: Path, keep: int) -> None:
    ann(tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadFile, match=r"weights\.safetensors: does not match its checksum; it is truncated") as caught:
        load_checkpoint(tmp_path)
    assert caught.value.exit_code == 3


def seal(path: Path, described: dict) -> None:
    """Another description, with its right checksum: what an attacker can do, and damage cannot."""
    path.write_text(json.dumps({**described, "content_sha256": content_digest(described)}))


def with_weights(folder: Path, payload: bytes) -> None:
    """Other weights, with their right checksum."""
    (folder / "weights.safetensors").write_bytes(payload)
    described = json.loads((folder / "model.json").read_text())
    described["weights_sha256"] = digest(payload)
    seal(folder / "model.json", described)


def test_weights_of_another_network(tmp_path: Path) -> None:
    ann(tmp_path)
    with_weights(tmp_path, safetensors.torch.save({"fc1.weight": torch.zeros(2, 2)}))
    with pytest.raises(BadFile, match="does not describe its weights"):
        load_checkpoint(tmp_path)


def test_weights_that_are_no_safetensors(tmp_path: Path) -> None:
    ann(tmp_path)
    with_weights(tmp_path, b"\x80\x04\x95 pickle or worse")
    with pytest.raises(BadFile, match="does not describe its weights"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    net = ann(tmp_path)
    with torch.no_grad():
        net.out.weight[1, 2] = bad
    with_weights(tmp_path, safetensors.torch.save({k: v.contiguous() for k, v in net.state_dict().items()}))
    with pytest.raises(BadFile, match="holds a value that is not finite"):
        load_checkpoint(tmp_path)


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"model\.json: cannot be read \(No such file"):
        load_checkpoint(tmp_path / "nowhere")
    ann(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(BadFile, match=r"weights\.safetensors: cannot be read"):
        load_checkpoint(tmp_path)


WRONG = [None, -1, 10**30, 1.5, "x", [], {}, [[]], True, float("nan")]


def leaves(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict):
        return [path, *(leaf for key, part in value.items() for leaf in leaves(part, (*path, key)))]
    return [path]


@pytest.mark.slow
@pytest.mark.parametrize("spiking", [False, True])
def test_whatever_the_description_says_the_refusal_is_a_bad_file(tmp_path: Path, spiking: bool) -> None:
    """Every field replaced by every kind of nonsense: read, or refused as a file."""
    if spiking:
        save_checkpoint(build_snn(PLAIN, SPIKING), tmp_path)
    else:
        ann(tmp_path)
    path = tmp_path / "model.json"
    good = json.loads(path.read_text())
    refused = 0
    for leaf in [p for p in leaves(good) if p and p[0] not in ("info", "content_sha256")]:
        for wrong in WRONG:
            changed = json.loads(json.dumps(good))
            place = changed
            for key in leaf[:-1]:
                place = place[key]
            place[leaf[-1]] = wrong
            seal(path, changed)
            try:
                load_checkpoint(tmp_path)
            except BadFile:
                refused += 1
    assert refused > 80
    for text in ("", "[]", "{", '{"format": 4}', "\x00"):
        path.write_text(text)
        with pytest.raises(BadFile):
            load_checkpoint(tmp_path)


def test_an_ann_needs_its_spec(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="an ANN needs its spec"):
        save_checkpoint(nn.Linear(2, 2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("spiking", [False, True])
def test_one_changed_byte_is_always_found(spiking: bool, tmp_path: Path) -> None:
    """In either file, whichever byte: a bad file, or (in JSON only) another way to write the same."""
    if spiking:
        save_checkpoint(build_snn(PLAIN, SPIKING), tmp_path, info={"accuracy": 0.91, "seed": 3})
    else:
        ann(tmp_path)
    found = load_checkpoint(tmp_path)
    for name, step in (("model.json", 1), ("weights.safetensors", 97)):
        path = tmp_path / name
        saved = path.read_bytes()
        for position in range(0, len(saved), step):
            damaged = bytearray(saved)
            damaged[position] ^= (0x01, 0x20, 0x80, 0x04)[position % 4]
            path.write_bytes(damaged)
            try:
                again = load_checkpoint(tmp_path)
            except BadFile:
                continue
            assert name == "model.json"
            assert json.loads(damaged) == json.loads(saved), position
            assert again.info == found.info
        path.write_bytes(saved)
    assert same_bits(load_checkpoint(tmp_path).net, found.net)


def test_the_format_before_is_read_but_not_if_its_digest_is_wrong(tmp_path: Path) -> None:
    net = ann(tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    del described["content_sha256"]
    (tmp_path / "model.json").write_text(json.dumps({**described, "format": 1}))
    assert same_bits(load_checkpoint(tmp_path).ann, net)
    for changed in (described, {**described, "format": 1, "content_sha256": "0"}, {**described, "format": 4}):
        (tmp_path / "model.json").write_text(json.dumps(changed))
        with pytest.raises(BadFile, match=r"model\.json: (does not match its checksum; it was changed|has format 4)"):
            load_checkpoint(tmp_path)
        with pytest.raises(BadFile):
            ann_spec(tmp_path)


@pytest.mark.parametrize("hidden", [[10**10], [10**6] * 4, [6] * 10**5, [10**30]])
def test_a_description_of_a_huge_network_takes_no_memory(hidden: list[int], tmp_path: Path) -> None:
    ann(tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    described["spec"]["hidden"] = hidden
    seal(tmp_path / "model.json", described)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadFile, match="does not describe its weights"):
        load_checkpoint(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_a_description_without_a_network(tmp_path: Path) -> None:
    seal(tmp_path / "model.json", {"format": 2, "kind": "ann"})
    with pytest.raises(BadFile, match=r"model\.json: does not describe a network"):
        ann_spec(tmp_path)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    ann(tmp_path)
    for name in ("weights.safetensors", "model.json"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(BadFile, match=rf"{name}: cannot be read \(it is no regular file\)"):
            load_checkpoint(tmp_path)
