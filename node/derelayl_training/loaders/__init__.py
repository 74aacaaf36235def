"""One module for each source of data; `training.data` says which spec leads where."""
