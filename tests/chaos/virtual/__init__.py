"""The virtual world: the node's own roles and hand-offs on a clock that jumps, with everything else in memory."""
