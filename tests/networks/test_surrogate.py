"""Surrogates equal what snnTorch's own backward gives."""

import pytest
import torch
from snntorch import surrogate as theirs

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.networks import Surrogate, surrogate_names

DISTANCE = torch.cat([torch.linspace(-3, 3, 121), torch.tensor([0.0, 1e-4, -1e-4])])
PAIRS = {
    "fast_sigmoid": theirs.fast_sigmoid(slope=25),
    "atan": theirs.atan(alpha=2.0),
    "spike_rate_escape": theirs.spike_rate_escape(beta=1, slope=25),
    "straight_through": theirs.straight_through_estimator(),
    "triangular": theirs.triangular(),
}


def by_snntorch(function: object) -> torch.Tensor:
    at = DISTANCE.clone().requires_grad_(True)
    function(at).sum().backward()
    return at.grad


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("scale", [1.0, 0.04])
def test_equal_to_snntorch(name: str, scale: float) -> None:
    # A threshold of 0 makes the membrane the distance itself, without rounding.
    ours = Surrogate(name=name, scale=scale).derivative(DISTANCE, torch.tensor(0.0))
    torch.testing.assert_close(ours, scale * by_snntorch(PAIRS[name]), rtol=1e-5, atol=1e-7)


def test_every_name_has_a_counterpart_or_is_the_papers() -> None:
    assert set(surrogate_names()) == {*PAIRS, "privatesnn"}


@pytest.mark.parametrize("theta", [0.5, 1.0, 7.0])
def test_privatesnn_is_a_triangle_relative_to_the_threshold(theta: float) -> None:
    v = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, -1.0]) * theta
    found = Surrogate().derivative(v, torch.tensor(theta))
    expected = torch.tensor([0, 0.5, 1, 0.5, 0, 0, 0]) * 0.3 / theta
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["sigmoid", "heaviside"])
def test_any_other_of_snntorchs_by_name(name: str) -> None:
    ours = Surrogate(name=f"snntorch:{name}").derivative(DISTANCE + 2, torch.tensor(2.0))
    torch.testing.assert_close(ours, by_snntorch(getattr(theirs, name)()), rtol=1e-4, atol=1e-5)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="surrogate: 'relu' is unknown; choose privatesnn"):
        Surrogate(name="relu")
    with pytest.raises(ConfigurationError, match=r"snntorch\.surrogate has no 'nothing'"):
        Surrogate(name="snntorch:nothing").derivative(DISTANCE, torch.tensor(1.0))
    with pytest.raises(ConfigurationError, match="snntorch:LSO cannot be used with its defaults"):
        Surrogate(name="snntorch:LSO").derivative(DISTANCE, torch.tensor(1.0))
