"""The conformance kit, shipped: compares any backend with the reference.

from neuroprivacy.testing import check_backend
report = check_backend("fixedpoint", random_programs=500)
"""

from neuroprivacy.testing.case import Case
from neuroprivacy.testing.conformance import ConformanceReport, Outcome, check_backend
from neuroprivacy.testing.hand_made import hand_made_cases
from neuroprivacy.testing.random_programs import RandomCase, random_case

__all__ = [
    "Case",
    "ConformanceReport",
    "Outcome",
    "RandomCase",
    "check_backend",
    "hand_made_cases",
    "random_case",
]
