"""Lowering: a NIR graph becomes a Program for a target. One file per pass; the order stands in `passes.py`."""

from neuroprivacy.lowering.pipeline import DRAFT_PASSES, Lowered, LowerOptions, draft_of, lower

__all__ = ["DRAFT_PASSES", "LowerOptions", "Lowered", "draft_of", "lower"]
