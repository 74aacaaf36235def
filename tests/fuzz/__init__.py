"""Fuzzing of every decoder that reads strangers' bytes: only the declared error may come out, soon and small.

`make fuzz` (python -m tests.fuzz) gives them millions of mutated inputs, and coverage-guided ones with atheris where it
is installed; `make test` gives them a few thousand.
"""
