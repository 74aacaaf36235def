"""Key files without the BLS half of eth_keyfile."""

import subprocess
import sys

import pytest
from py_ecc.bls12_381.bls12_381_curve import curve_order

from derelayl_node.keyfiles import BLS12_381_ORDER, NoBls

NODE_LOADS_NO_BLS = """
import sys
import derelayl_node.keys, derelayl_node.evm.client
assert not [name for name in sys.modules if name.startswith("py_ecc.") and "bls" in name]
import eth.precompiles, py_ecc.bls
assert py_ecc.bls.G2ProofOfPossession.SkToPk(1)
"""


def test_the_order_of_the_curve_is_that_of_the_library() -> None:
    assert curve_order == BLS12_381_ORDER


def test_a_bls_key_file_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="BLS"):
        NoBls().SkToPk(1)  # type: ignore[operator]


def test_a_node_loads_no_bls_and_the_evm_gets_the_real_one() -> None:
    subprocess.run([sys.executable, "-c", NODE_LOADS_NO_BLS], check=True, timeout=120)
