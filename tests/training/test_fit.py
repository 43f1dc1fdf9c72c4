"""The training loop: a resumed run ends with the same bits; what cannot go on says so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import BadFile, ConfigurationError, NeuroPrivacyError
from neuroprivacy.networks import (
    SpikingNetwork,
    SpikingSpec,
    build_ann,
    build_snn,
    model_spec,
    quantize_weights,
    spiking_input,
)
from neuroprivacy.training import FitSettings, fit
from neuroprivacy.training.fit import discard_state

X = torch.rand(70, 1, 8, 8, generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 3, (70,), generator=torch.Generator().manual_seed(2))
SETTINGS = FitSettings(epochs=4, batch_size=16, threads=1, seed=5, lr=0.01)
MODEL = model_spec("convnet", input_shape=(1, 8, 8), classes=3, hidden=(10,), width=0.2, bias=True, batch_norm=True)


def fresh(kind: str) -> nn.Module:
    torch.manual_seed(11)
    if kind == "ann":
        return build_ann(MODEL)  # batch norm and dropout: buffers and random masks
    plain = replace(MODEL, batch_norm=False)
    net = build_snn(plain, SpikingSpec(time_steps=4, coding="poisson", surrogate="atan"))
    if kind == "quantized":  # brevitas makes new parameters of its scales when a state is loaded
        return quantize_weights(net, 4, state_target="loihi2", populations=2)
    return net


def loss_of(net: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        if isinstance(net, SpikingNetwork):
            return nn.functional.cross_entropy(net(spiking_input(x, spec=net.spec)).readout, y)
        return nn.functional.cross_entropy(net(x), y)

    return loss


def noisy(x: Tensor) -> Tensor:
    return x + 0.05 * torch.randn_like(x)


def train(net: nn.Module, folder: Path | None, *, stop_at: int | None = None, **options: object) -> list[float]:
    def progress(done: int, total: int, text: str) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    given = {"loss": loss_of(net), "settings": SETTINGS, "augment": noisy, **options}
    return fit(net, X, Y, state_folder=folder, progress=progress, **given)


def bits(net: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in net.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ann", "spiking", "quantized"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_interrupted_and_resumed_ends_with_the_same_bits(kind: str, optimizer: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer=optimizer, clip_norm=1.0, weight_decay=1e-3)
    whole = fresh(kind)
    history = train(whole, None, settings=settings)
    assert bits(whole) != bits(fresh(kind))

    stopped = fresh(kind)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path, settings=settings, stop_at=8)  # step 3 of epoch 2
    with pytest.raises(KeyboardInterrupt):
        train(fresh(kind), tmp_path, settings=settings, resume=True, stop_at=14)  # and again, in epoch 3
    resumed = fresh(kind)
    torch.rand(1000)  # a resumed process has drawn other numbers before
    assert train(resumed, tmp_path, settings=settings, resume=True) == history
    assert bits(resumed) == bits(whole)


def test_interrupted_inside_the_loss(tmp_path: Path) -> None:
    whole, net = fresh("ann"), fresh("ann")
    train(whole, None)
    calls = 0

    def loss(x: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(net(x), y)

    with pytest.raises(KeyboardInterrupt):
        train(net, tmp_path, loss=loss)
    train(net, tmp_path, resume=True)  # the same object, half way through an epoch
    assert bits(net) == bits(whole)


def test_resume_without_a_state_starts_at_the_beginning(tmp_path: Path) -> None:
    first, second = fresh("ann"), fresh("ann")
    train(first, None)
    train(second, tmp_path, resume=True)
    assert bits(first) == bits(second)


def test_without_resume_a_state_is_not_looked_at(tmp_path: Path) -> None:
    whole = fresh("ann")
    train(whole, None)
    with pytest.raises(KeyboardInterrupt):
        train(fresh("ann"), tmp_path, stop_at=7)
    again = fresh("ann")
    train(again, tmp_path)
    assert bits(again) == bits(whole)


def test_a_finished_run_resumes_to_itself_and_can_be_discarded(tmp_path: Path) -> None:
    net, again = fresh("ann"), fresh("ann")
    history = train(net, tmp_path)
    assert train(again, tmp_path, resume=True) == history
    assert bits(again) == bits(net)
    assert not again.training
    discard_state(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [{"lr": 0.02}, {"threads": 2}, {"seed": 6}, {"batch_size": 8}, {"optimizer": "sgd"}, {"schedule": "steps"}],
)
def test_other_settings_are_refused(tmp_path: Path, change: dict) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(fresh("ann"), tmp_path, stop_at=7)
    message = rf"belongs to a run with other settings \({next(iter(change))}\); use the same options"
    with pytest.raises(BadFile, match=message):
        train(fresh("ann"), tmp_path, resume=True, settings=replace(SETTINGS, **change))


def test_another_length_is_refused_unless_the_rate_is_constant(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(fresh("ann"), tmp_path / "a", stop_at=7)
    with pytest.raises(BadFile, match="belongs to a run of another length"):
        train(fresh("ann"), tmp_path / "a", resume=True, settings=replace(SETTINGS, epochs=6))
    constant = replace(SETTINGS, schedule="constant")
    train(fresh("ann"), tmp_path / "b", settings=constant)
    longer, whole = fresh("ann"), fresh("ann")
    train(longer, tmp_path / "b", resume=True, settings=replace(constant, epochs=6))
    train(whole, None, settings=replace(constant, epochs=6))
    assert bits(longer) == bits(whole)


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(fresh("ann"), tmp_path, stop_at=7)
    with pytest.raises(BadFile, match=r"training\.pt: is not a training state .*start without --resume"):
        train(fresh("spiking"), tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "other", "pickle"])
def test_a_damaged_state_is_refused(tmp_path: Path, damage: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(fresh("ann"), tmp_path, stop_at=7)
    path = tmp_path / "training.pt"
    good = path.read_bytes()
    if damage == "other":
        torch.save({"net": {}}, path)
    elif damage == "pickle":
        torch.save(Exploit(tmp_path / "owned"), path)
    else:
        path.write_bytes({"empty": b"", "text": b"not a state", "truncated": good[: len(good) // 2]}[damage])
    with pytest.raises(BadFile, match="is not a training state") as caught:
        train(fresh("ann"), tmp_path, resume=True)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "owned").exists()


class Exploit:
    """What a hostile state file would try."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def test_a_loss_that_is_not_finite_stops_with_its_place() -> None:
    net = fresh("ann")
    calls = 0

    def loss(x: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return nn.functional.cross_entropy(net(x), y) * (float("nan") if calls == 7 else 1)

    with pytest.raises(NeuroPrivacyError, match="training: the loss is nan in epoch 2, step 2; lower --lr"):
        train(net, None, loss=loss)


def test_a_parameter_that_is_not_finite_stops_with_its_name() -> None:
    net = nn.Linear(1, 1, bias=False)
    settings = FitSettings(epochs=1, batch_size=1, lr=float("inf"), optimizer="sgd", threads=1, schedule="constant")
    with pytest.raises(NeuroPrivacyError, match="training: weight is no longer finite; lower --lr"):
        fit(net, torch.ones(1, 1), torch.zeros(1), loss=lambda x, _: net(x).sum(), settings=settings)


def test_only_what_requires_gradients_is_trained() -> None:
    net = fresh("ann")
    net.conv1.weight.requires_grad_(False)
    before = bits(net)
    train(net, None)
    assert bits(net)["conv1.weight"] == before["conv1.weight"]
    assert bits(net)["out.weight"] != before["out.weight"]


def test_the_rate_falls_as_described() -> None:
    assert [round(SETTINGS.rate(p), 5) for p in (0, 0.5, 1)] == [0.01, 0.005, 0]
    steps = replace(SETTINGS, schedule="steps")
    assert [round(steps.rate(p), 6) for p in (0, 0.49, 0.5, 0.7, 1)] == [0.01, 0.01, 0.001, 0.0001, 0.0001]
    assert replace(SETTINGS, schedule="constant").rate(0.9) == 0.01


@pytest.mark.parametrize("settings", [replace(SETTINGS, epochs=-1), replace(SETTINGS, batch_size=0)])
def test_impossible_runs_are_refused(settings: FitSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"fit: .* epochs of 70 samples cannot be run"):
        train(fresh("ann"), None, settings=settings)


def test_a_state_of_other_data_or_another_network_is_refused(tmp_path: Path) -> None:
    settings = FitSettings(epochs=1, batch_size=2, threads=1)
    net = torch.nn.Linear(2, 1)
    x = torch.ones(4, 2)

    def run(identity: str, resume: bool) -> list[float]:
        return fit(
            net, x, x[:, :1], loss=lambda a, b: ((net(a) - b) ** 2).mean(), settings=settings, state_folder=tmp_path,
            resume=resume, identity=identity,
        )  # fmt: skip

    run("this", resume=False)
    assert len(run("this", resume=True)) == 1
    with pytest.raises(BadFile, match="belongs to a run on other data or another network"):
        run("that", resume=True)
