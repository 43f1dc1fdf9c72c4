"""What runs a Program: the backend protocol and registry, the reference, event counts, comparison, simulation."""
