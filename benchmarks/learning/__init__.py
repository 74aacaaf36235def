"""The tables of the learning side: `make bench-learning`, or one of them: `make bench-learning ARGS=memory`."""
