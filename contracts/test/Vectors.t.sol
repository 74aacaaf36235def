// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IRelayLedger} from "../src/interfaces/IRelayLedger.sol";
import {Deployment} from "./support/Deployment.sol";
import {vm} from "./support/Test.sol";

/// @title The vectors that the Python reference wrote
/// @notice Formats: tests/vectors/README.md and tests/vectors/calls/README.md.
contract VectorsTest {
    string private constant FOLDER = "../tests/vectors/";
    string private constant STEP = "Step(uint256 time,address sender,bytes data,bytes refused,address[] changed,uint256[] free)";
    string private constant LOOK = "Look(uint256 afterSteps,bytes data,bytes returned)";
    uint256 private constant HEX_DIGITS_OF_A_HASH = 64;

    struct Step {
        uint256 time;
        address sender;
        bytes data;
        bytes refused; // the selector of the error; empty if the call succeeds
        address[] changed; // accounts whose free balance did
        uint256[] free; // their free balances now
    }

    struct Look {
        uint256 afterSteps;
        bytes data;
        bytes returned;
    }

    IERC20 private _token;
    IRelayLedger private _ledger;

    function setUp() public {
        _token = Deployment.token(address(this), 10 ** 30);
        _ledger = Deployment.ledger(_token);
    }

    /* HISTORIES OF CALLS */

    function test_settled_rounds() public {
        _replay("settled");
    }

    function test_voided_rounds() public {
        _replay("voids");
    }

    function test_signed_calls() public {
        _replay("signed");
    }

    function test_equivocations() public {
        _replay("equivocation");
    }

    function test_stake_and_access() public {
        _replay("stake_and_access");
    }

    function test_every_refusal() public {
        _replay("refusals");
    }

    function _replay(string memory name) private {
        string memory json = vm.readFile(string.concat(FOLDER, "calls/", name, ".json"));
        uint256 beginning = vm.snapshotState();
        uint256 histories;
        for (; vm.keyExistsJson(json, _at(histories)); ++histories) {
            _replayOne(json, _at(histories));
            vm.assertTrue(vm.revertToState(beginning));
        }
        vm.assertGt(histories, 0);
    }

    function _replayOne(string memory json, string memory where) private {
        string memory name = vm.parseJsonString(json, string.concat(where, ".name"));
        Step[] memory steps = abi.decode(vm.parseJsonTypeArray(json, string.concat(where, ".steps"), STEP), (Step[]));
        Look[] memory looks = abi.decode(vm.parseJsonTypeArray(json, string.concat(where, ".views"), LOOK), (Look[]));
        IRelayLedger ledger = _place(json, where);
        uint256 seen;
        for (uint256 i; i < steps.length; ++i) {
            _step(ledger, steps[i], string.concat(name, ", step ", vm.toString(i)));
            for (; seen < looks.length && looks[seen].afterSteps == i + 1; ++seen) {
                _look(ledger, looks[seen], string.concat(name, ", view ", vm.toString(seen)));
            }
        }
        vm.assertEq(seen, looks.length, "every view was asked");
    }

    /// @dev Puts the ledger where the signatures say it lies, and fills the wallets.
    function _place(string memory json, string memory where) private returns (IRelayLedger ledger) {
        vm.assertEq(block.chainid, vm.parseJsonUint(json, string.concat(where, ".chain_id")));
        address place = vm.parseJsonAddress(json, string.concat(where, ".ledger"));
        vm.etch(place, address(_ledger).code);
        ledger = IRelayLedger(place);
        address[] memory accounts = vm.parseJsonAddressArray(json, string.concat(where, ".accounts"));
        uint256[] memory wallets = vm.parseJsonUintArray(json, string.concat(where, ".wallets"));
        for (uint256 i; i < accounts.length; ++i) {
            vm.assertTrue(_token.transfer(accounts[i], wallets[i]));
            vm.prank(accounts[i]);
            _token.approve(place, type(uint256).max);
        }
    }

    function _step(IRelayLedger ledger, Step memory step, string memory name) private {
        vm.warp(step.time);
        vm.prank(step.sender);
        (bool done, bytes memory returned) = address(ledger).call(step.data);
        vm.assertEq(done, step.refused.length == 0, name);
        if (!done) vm.assertEq(returned, step.refused, name);
        for (uint256 i; i < step.changed.length; ++i) {
            vm.assertEq(ledger.freeOf(step.changed[i]), step.free[i], name);
        }
    }

    function _look(IRelayLedger ledger, Look memory look, string memory name) private view {
        (bool done, bytes memory returned) = address(ledger).staticcall(look.data);
        vm.assertTrue(done, name);
        vm.assertEq(returned, look.returned, name);
    }

    /* TREES */

    function test_every_leaf_of_every_tree_is_proven() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "merkle/trees.json"));
        uint256 proven;
        for (uint256 tree; vm.keyExistsJson(json, _at(tree)); ++tree) {
            bytes32 root = _word(vm.parseJsonString(json, string.concat(_at(tree), ".root")));
            string[] memory leaves = vm.parseJsonStringArray(json, string.concat(_at(tree), ".leaves"));
            for (uint256 i; i < leaves.length; ++i) {
                bytes32 leaf = sha256(bytes.concat(hex"00", _bytes(leaves[i])));
                bytes32[] memory path = _path(json, string.concat(_at(tree), ".paths[", vm.toString(i), "]"));
                vm.assertTrue(_ledger.verifyLeaf(root, leaf, i, leaves.length, path));
                ++proven;
            }
        }
        vm.assertGt(proven, 30);
    }

    function test_no_forged_proof_passes() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "merkle/refused.json"));
        uint256 refused;
        for (; vm.keyExistsJson(json, _at(refused)); ++refused) {
            string memory where = _at(refused);
            bytes32 root = _word(vm.parseJsonString(json, string.concat(where, ".root")));
            bytes32 leaf = _word(vm.parseJsonString(json, string.concat(where, ".leaf")));
            uint256 index = vm.parseJsonUint(json, string.concat(where, ".index"));
            uint256 count = vm.parseJsonUint(json, string.concat(where, ".count"));
            string[] memory path = vm.parseJsonStringArray(json, string.concat(where, ".path"));
            if (!_areWords(path)) continue; // a node of another length cannot even be passed to the contract
            vm.assertFalse(_ledger.verifyLeaf(root, leaf, index, count, _words(path)), where);
        }
        vm.assertGt(refused, 3);
    }

    function test_headers_and_chunks_of_manifests_are_proven() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "manifest/checkpoints.json"));
        uint256 manifest;
        for (; vm.keyExistsJson(json, _at(manifest)); ++manifest) {
            bytes32 root = _word(vm.parseJsonString(json, string.concat(_at(manifest), ".root")));
            _prove(json, root, string.concat(_at(manifest), ".header_proof"));
            for (uint256 chunk;; ++chunk) {
                string memory where = string.concat(_at(manifest), ".chunk_proofs[", vm.toString(chunk), "]");
                if (!vm.keyExistsJson(json, where)) break;
                _prove(json, root, where);
            }
        }
        vm.assertGt(manifest, 0);
    }

    function _prove(string memory json, bytes32 root, string memory where) private view {
        bytes memory content = _bytes(vm.parseJsonString(json, string.concat(where, ".leaf")));
        bytes32 leaf = sha256(bytes.concat(hex"00", content));
        uint256 index = vm.parseJsonUint(json, string.concat(where, ".index"));
        uint256 count = vm.parseJsonUint(json, string.concat(where, ".count"));
        vm.assertTrue(_ledger.verifyLeaf(root, leaf, index, count, _path(json, string.concat(where, ".path"))), where);
    }

    function _path(string memory json, string memory where) private pure returns (bytes32[] memory) {
        return _words(vm.parseJsonStringArray(json, where));
    }

    function _words(string[] memory texts) private pure returns (bytes32[] memory words) {
        words = new bytes32[](texts.length);
        for (uint256 i; i < texts.length; ++i) {
            words[i] = _word(texts[i]);
        }
    }

    function _areWords(string[] memory texts) private pure returns (bool) {
        for (uint256 i; i < texts.length; ++i) {
            if (bytes(texts[i]).length != HEX_DIGITS_OF_A_HASH) return false;
        }
        return true;
    }

    function _word(string memory digits) private pure returns (bytes32) {
        vm.assertEq(bytes(digits).length, HEX_DIGITS_OF_A_HASH);
        return bytes32(_bytes(digits));
    }

    function _bytes(string memory digits) private pure returns (bytes memory) {
        return vm.parseBytes(string.concat("0x", digits));
    }

    function _at(uint256 index) private pure returns (string memory) {
        return string.concat("$[", vm.toString(index), "]");
    }
}
