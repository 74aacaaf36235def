"""The ledger on an EVM chain, as one account sees and uses it."""
