"""Families of ANNs: shapes, options, refusals."""

import pytest
import torch
from torch import nn

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import build_ann, family_names, model_spec
from neuroprivacy.networks.families import count_parameters, spec_from


@pytest.mark.parametrize("family", family_names())
def test_every_family_answers_for_each_class(family: str) -> None:
    spec = model_spec(family, input_shape=(3, 32, 32), classes=7, hidden=(20,), width=0.1)
    net = build_ann(spec).eval()
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert spec_from(spec.describe()) == spec
    assert not any(isinstance(m, nn.BatchNorm2d | nn.MaxPool2d) for m in net.modules())
    assert all(m.bias is None for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def test_vgg16_has_the_papers_channels() -> None:
    net = build_ann(model_spec("vgg16", input_shape=(3, 32, 32), classes=10, hidden=(8,)))
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def test_options() -> None:
    spec = model_spec("convnet", input_shape=(1, 8, 8), classes=2, bias=True, batch_norm=True, dropout=0.0)
    names = [name for name, _ in build_ann(spec).named_children()]
    assert names[:4] == ["conv1", "norm1", "act1", "pool1"]
    assert not any(name.startswith("fcdrop") for name in names)
    signed = build_ann(model_spec("mlp", input_shape=(4,), classes=2, signed_input=True))
    assert torch.equal(signed.signed(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([-1.0, 0.0, 1.0]))
    assert count_parameters(build_ann(model_spec("mlp", input_shape=(4,), classes=2, hidden=(3,)))) == 4 * 3 + 3 * 2


def test_seeded() -> None:
    spec = model_spec("mlp", input_shape=(4,), classes=2)
    torch.manual_seed(5)
    first = build_ann(spec)
    torch.manual_seed(5)
    second = build_ann(spec)
    assert torch.equal(first.fc1.weight, second.fc1.weight)


@pytest.mark.parametrize(
    ("family", "shape", "message"),
    [
        ("resnet", (3, 32, 32), "model: 'resnet' is unknown; choose mlp, convnet"),
        ("convnet", (30,), r"convnet needs images, this data set has \(30,\); choose mlp"),
    ],
)
def test_refusals(family: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        model_spec(family, input_shape=shape, classes=2)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="too small for vgg16"):
        build_ann(model_spec("vgg16", input_shape=(1, 8, 8), classes=2))
