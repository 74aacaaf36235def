"""What a running node costs and bears: one module a case, see `__main__`."""
