"""Encrypted key files, by eth_keyfile without its BLS half.

eth_keyfile, and with it eth_account and web3, imports py_ecc's BLS12-381 for the key files of Ethereum's validators.
That computes curves and pairings for a third of a second in each process, and we have no such key files. So a stand-in
takes the place of these two modules while eth_keyfile is imported, and leaves again: who imports them later, as py-evm
does, gets the real ones. This module is imported before anything else that imports eth_keyfile.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

BLS12_381_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Of the curve's prime-order subgroup: eth_keyfile compares secrets of validators with it."""


class NoBls:
    """Stands where eth_keyfile expects a BLS signature scheme."""

    def __getattr__(self, name: str) -> object:
        raise NotImplementedError("key files of BLS keys are not read or written here")


STAND_INS: Mapping[str, Mapping[str, object]] = {
    "py_ecc.bls": {"G2ProofOfPossession": NoBls()},
    "py_ecc.bls12_381": {"curve_order": BLS12_381_ORDER},
}


def _import_without_bls() -> None:
    made = [name for name in STAND_INS if name not in sys.modules]
    for name in made:
        module = ModuleType(name)
        for attribute, stand_in in STAND_INS[name].items():
            setattr(module, attribute, stand_in)
        sys.modules[name] = module
    try:
        import eth_keyfile.keyfile  # noqa: F401
    finally:
        for name in made:
            del sys.modules[name]


_import_without_bls()

from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json  # noqa: E402

__all__ = ["create_keyfile_json", "decode_keyfile_json"]
