"""The runtime of Programs: the backend protocol and registry, the reference, event counts, comparison, simulation."""
