"""One module for each source of data; `registry.LOADERS` says which spec leads where."""
