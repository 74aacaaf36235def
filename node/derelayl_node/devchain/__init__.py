"""A chain for one machine: an EVM with JSON-RPC, which knows nothing of a relay."""
