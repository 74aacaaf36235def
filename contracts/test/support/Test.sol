// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev Where forge's cheatcodes answer.
Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @title What forge lends to a test: the cheatcodes that ours use, and no others
/// @notice The names, types and meanings are forge's; an assertion that does not hold names `why` and both values.
interface Vm {
    /* THE CHAIN */

    /// @notice The address of a private key.
    function addr(uint256 key) external pure returns (address);

    /// @notice A signature of `digest` in the form of EIP-2098.
    function signCompact(uint256 key, bytes32 digest) external pure returns (bytes32 r, bytes32 vs);

    /// @notice The next call comes from `sender`.
    function prank(address sender) external;

    /// @notice All calls come from `sender`, until `stopPrank`.
    function startPrank(address sender) external;
    function stopPrank() external;

    /// @notice Sets the time of the block, in seconds.
    function warp(uint256 time) external;

    /// @notice Puts code at an address.
    function etch(address place, bytes calldata code) external;

    /// @notice Keeps the state of the chain, for `revertToState` to bring back.
    function snapshotState() external returns (uint256 snapshot);
    function revertToState(uint256 snapshot) external returns (bool known);

    /* WHAT A TEST MAY ASSUME, AND WHAT IT CLAIMS */

    /// @notice Leaves out the inputs that do not meet the condition.
    function assume(bool condition) external pure;

    function assertTrue(bool value) external pure;
    function assertTrue(bool value, string calldata why) external pure;
    function assertFalse(bool value, string calldata why) external pure;
    function assertEq(uint256 left, uint256 right) external pure;
    function assertEq(uint256 left, uint256 right, string calldata why) external pure;
    function assertEq(bool left, bool right, string calldata why) external pure;
    function assertEq(bytes calldata left, bytes calldata right, string calldata why) external pure;
    function assertGt(uint256 left, uint256 right) external pure;
    function assertGe(uint256 left, uint256 right) external pure;
    function assertGe(uint256 left, uint256 right, string calldata why) external pure;
    function assertLe(uint256 left, uint256 right) external pure;

    /* FILES AND TEXT */

    /// @notice A file's text; which folders may be read is in foundry.toml.
    function readFile(string calldata path) external view returns (string memory);

    /// @notice Whether a JSONPath leads anywhere; the others below take such a `key` too.
    function keyExistsJson(string calldata json, string calldata key) external view returns (bool);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonUintArray(string calldata json, string calldata key) external pure returns (uint256[] memory);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function parseJsonStringArray(string calldata json, string calldata key) external pure returns (string[] memory);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function parseJsonAddressArray(string calldata json, string calldata key) external pure returns (address[] memory);
    function parseJsonKeys(string calldata json, string calldata key) external pure returns (string[] memory);

    /// @notice An array of structs, encoded; `kind` is the struct's type as EIP-712 writes it.
    function parseJsonTypeArray(string calldata json, string calldata key, string calldata kind)
        external
        pure
        returns (bytes memory);

    /// @notice The bytes that hexadecimal text, with 0x before it, stands for.
    function parseBytes(string calldata text) external pure returns (bytes memory);

    /// @notice A number in decimal digits; bytes in hexadecimal ones after 0x.
    function toString(uint256 value) external pure returns (string memory);
    function toString(bytes calldata value) external pure returns (string memory);
}

/// @notice What forge plays on a contract; a function that is named twice, twice as often. A test with invariants answers
/// `targetSelectors` with a list of these.
struct FuzzSelector {
    address addr;
    bytes4[] selectors;
}
