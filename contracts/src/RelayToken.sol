// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The relay token
/// @notice An ERC-20 of 18 decimals whose whole supply is minted once; holders can burn, nobody can mint.
contract RelayToken is ERC20, ERC20Burnable, ERC20Permit {
    /// @param holder Gets the whole supply.
    /// @param supply In wei.
    constructor(address holder, uint256 supply) ERC20("Relay", "RELAY") ERC20Permit("Relay") {
        _mint(holder, supply);
    }
}
