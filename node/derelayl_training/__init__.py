"""How legs train: data, architectures, methods, judging, early exits, privacy. Knows no network and no ledger."""
