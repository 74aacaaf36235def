"""The tests, a package so that no other `tests` that happens to be installed is taken for it."""
