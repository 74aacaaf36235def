"""Benchmarks of the incentive simulator."""
