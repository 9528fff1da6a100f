"""Measurements that anyone can run, each beside a peer or a floor in the same run: `python -m benchmarks --help`."""
