"""Random Programs for Hypothesis: every choice is a number, so that shrinking finds a smaller Program.

    @given(programs(targets=("int8",)))
    def test_mine(case): ...

Hypothesis is needed here and nowhere else in the library.
"""

from __future__ import annotations

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.testing.random_programs import RandomCase, random_case

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ConfigurationError(
        "testing.strategies: hypothesis is not installed; install it with: pip install hypothesis"
    ) from error


def programs(
    *,
    targets: tuple[str, ...] = ("loihi2", "loihi2-soft", "int8"),
    max_layers: int = 4,
    max_neurons: int = 48,
    max_steps: int = 40,
    max_samples: int = 3,
) -> st.SearchStrategy[RandomCase]:
    """Random Programs with their input; they shrink to fewer layers, neurons, steps and samples.

    Args:
        targets: names of targets, the first one the simplest.
        max_layers: at most so many layers.
        max_neurons: roughly the largest layer, at least 2.
        max_steps: at most so many input steps.
        max_samples: at most so many samples.
    """
    return st.builds(
        random_case,
        st.integers(0, 2**32 - 1),
        target=st.sampled_from(targets),
        steps=st.integers(1, max_steps),
        samples=st.integers(1, max_samples),
        max_layers=st.integers(1, max_layers),
        max_neurons=st.integers(2, max_neurons),
    )
