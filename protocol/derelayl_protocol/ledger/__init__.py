"""The ledger as a pure function: what the contract does, in Python.

`state`, `commands`, `events`, `phases` are its vocabulary; `apply.apply(state, command, sender, now)` is the whole of
it; `transitions` says which command a phase allows; `totals` adds up the money.
"""
