"""What every other package builds on: errors, storage, provenance, progress, parallel processes, stages.

It imports nothing of neuroprivacy.
"""
