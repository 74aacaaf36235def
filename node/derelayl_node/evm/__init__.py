"""The ledger on an EVM chain, as one account sees and uses it."""

from .. import keyfiles as keyfiles  # first of all: what the modules here import would import all of eth_keyfile
