"""Errors, storage, provenance, progress, parallel processes and pipeline stages.

It imports no other package of neuroprivacy.
"""
