"""Sweeps: which points are tried, on which processors, and what is kept.

`study.plan` turns a scenario into a Study, `collect.collect` plays what of it is not finished yet into a folder.
"""
