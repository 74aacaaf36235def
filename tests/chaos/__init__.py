"""Chaos: faults and adversaries as data, plans drawn from a number, one oracle, and two worlds that play them.

The virtual world (`virtual/`) runs the node's roles on a virtual clock with everything in memory; the real one
(`real/`) runs processes with sockets, disks and a chain. docs/CHAOS.md says how to play a plan again from its number.
"""
