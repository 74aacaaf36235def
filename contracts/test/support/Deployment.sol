// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";

import {IRelayLedger} from "../../src/interfaces/IRelayLedger.sol";

/// @title Deploys the committed artifacts
library Deployment {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant ADDRESS_BYTES = 20;

    function token(address holder, uint256 supply) internal returns (IERC20) {
        return IERC20(_create(abi.encodePacked(VM.parseBytes(_bytecode("RelayToken")), abi.encode(holder, supply))));
    }

    /// @notice The ledger, linked to libraries of its own.
    function ledger(IERC20 token_) internal returns (IRelayLedger) {
        string memory json = _artifact("RelayLedger");
        bytes memory code = bytes(VM.parseJsonString(json, ".bytecode"));
        string[] memory libraries = VM.parseJsonKeys(json, ".linkReferences");
        for (uint256 i; i < libraries.length; ++i) {
            address library_ = _create(VM.parseBytes(_bytecode(libraries[i])));
            _link(code, library_, VM.parseJsonUintArray(json, string.concat(".linkReferences.", libraries[i])));
        }
        return IRelayLedger(_create(abi.encodePacked(VM.parseBytes(string(code)), abi.encode(token_))));
    }

    /// @dev Writes the address over the placeholders; `code` is text, 0x and two digits for each byte.
    function _link(bytes memory code, address library_, uint256[] memory offsets) private pure {
        bytes memory digits = bytes(VM.toString(abi.encodePacked(library_)));
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
        return VM.parseJsonString(_artifact(name), ".bytecode");
    }

    function _artifact(string memory name) private view returns (string memory) {
        return VM.readFile(string.concat("artifacts/", name, ".json"));
    }
}
