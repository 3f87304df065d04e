// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// A way through pools, in the direction of the sale: token (20 bytes), fee (3), token (20), ...
library Path {
    uint256 private constant TOKEN = 20;
    uint256 private constant HOP = 23;

    /// Whether it is at least two tokens, each pair with its fee, and from one given token to the other.
    function leads(bytes memory path, address from, address to) internal pure returns (bool) {
        if (path.length < HOP + TOKEN || (path.length - TOKEN) % HOP != 0) return false;
        return _token(path, 0) == from && _token(path, path.length - TOKEN) == to;
    }

    function hasPool(bytes memory path) internal pure returns (bool) {
        return path.length > TOKEN;
    }

    function firstToken(bytes memory path) internal pure returns (address) {
        return _token(path, 0);
    }

    function firstPool(bytes memory path) internal pure returns (address tokenIn, uint24 fee, address tokenOut) {
        return (_token(path, 0), _fee(path, TOKEN), _token(path, HOP));
    }

    function lastPool(bytes memory path) internal pure returns (address tokenIn, uint24 fee, address tokenOut) {
        uint256 end = path.length;
        return (_token(path, end - HOP - TOKEN), _fee(path, end - HOP), _token(path, end - TOKEN));
    }

    function withoutFirst(bytes memory path) internal pure returns (bytes memory rest) {
        return _copy(path, HOP, path.length - HOP);
    }

    function withoutLast(bytes memory path) internal pure returns (bytes memory rest) {
        return _copy(path, 0, path.length - HOP);
    }

    function _token(bytes memory path, uint256 at) private pure returns (address token) {
        assembly ("memory-safe") {
            token := shr(96, mload(add(add(path, 32), at)))
        }
    }

    function _fee(bytes memory path, uint256 at) private pure returns (uint24 fee) {
        assembly ("memory-safe") {
            fee := shr(232, mload(add(add(path, 32), at)))
        }
    }

    function _copy(bytes memory path, uint256 from, uint256 length) private pure returns (bytes memory copy) {
        copy = new bytes(length);
        assembly ("memory-safe") {
            let source := add(add(path, 32), from)
            for { let i := 0 } lt(i, length) { i := add(i, 32) } {
                mstore(add(add(copy, 32), i), mload(add(source, i)))
            }
        }
    }
}
