"""Speed against other simulators, in one run, as ratios: `make bench`, or `python -m benchmarks --help`."""
