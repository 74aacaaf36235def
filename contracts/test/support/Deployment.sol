// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IRelayLedger} from "../../src/interfaces/IRelayLedger.sol";
import {vm} from "./Test.sol";

/// @title Deploys the committed artifacts
library Deployment {
    uint256 private constant ADDRESS_BYTES = 20;

    function token(address holder, uint256 supply) internal returns (IERC20) {
        return IERC20(_create(abi.encodePacked(vm.parseBytes(_bytecode("RelayToken")), abi.encode(holder, supply))));
    }

    /// @notice The ledger, linked to libraries of its own.
    function ledger(IERC20 token_) internal returns (IRelayLedger) {
        string memory json = _artifact("RelayLedger");
        bytes memory code = bytes(vm.parseJsonString(json, ".bytecode"));
        string[] memory libraries = vm.parseJsonKeys(json, ".linkReferences");
        for (uint256 i; i < libraries.length; ++i) {
            address library_ = _create(vm.parseBytes(_bytecode(libraries[i])));
            _link(code, library_, vm.parseJsonUintArray(json, string.concat(".linkReferences.", libraries[i])));
        }
        return IRelayLedger(_create(abi.encodePacked(vm.parseBytes(string(code)), abi.encode(token_))));
    }

    /// @dev Writes the address over the placeholders; `code` is text, 0x and two digits for each byte.
    function _link(bytes memory code, address library_, uint256[] memory offsets) private pure {
        bytes memory digits = bytes(vm.toString(abi.encodePacked(library_)));
        for (uint256 i; i < offsets.length; ++i) {
            for (uint256 digit = 2; digit < 2 + 2 * ADDRESS_BYTES; ++digit) {
                code[2 * offsets[i] + digit] = digits[digit];
            }
        }
    }

    function _create(bytes memory code) private returns (address created) {
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
        }
        require(created != address(0), "the artifact cannot be deployed");
    }

    function _bytecode(string memory name) private view returns (string memory) {
        return vm.parseJsonString(_artifact(name), ".bytecode");
    }

    function _artifact(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("artifacts/", name, ".json"));
    }
}
