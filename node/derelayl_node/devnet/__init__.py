"""A whole small network in a folder: laid out, put on its chain, run as processes."""
