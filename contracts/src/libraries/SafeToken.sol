// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {IERC20} from "../interfaces/IERC20.sol";

/// Calls to tokens that may return nothing, return false, lie, or return megabytes.
library SafeToken {
    /// The token has no code, reverted, or returned something that is not success.
    error TokenCallFailed(address token, bytes4 selector);
    /// An allowance is still there after it was set to zero.
    error AllowanceLeft(address token, address spender, uint256 amount);

    function balanceOf(address token, address account) internal view returns (uint256) {
        return _word(token, abi.encodeCall(IERC20.balanceOf, (account)));
    }

    function transfer(address token, address to, uint256 amount) internal {
        _call(token, abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    /// Let `spender` take exactly `amount`; some tokens want a zero in between.
    function approveExactly(address token, address spender, uint256 amount) internal {
        disallow(token, spender);
        _call(token, abi.encodeCall(IERC20.approve, (spender, amount)));
    }

    /// Take back what `spender` did not use. A zero is not approved again: some tokens revert on it.
    function disallow(address token, address spender) internal {
        if (allowanceOf(token, spender) == 0) return;
        _call(token, abi.encodeCall(IERC20.approve, (spender, 0)));
        uint256 left = allowanceOf(token, spender);
        if (left != 0) revert AllowanceLeft(token, spender, left);
    }

    /// Take back what `spender` did not use of `allowed`; returns how much it used.
    function settle(address token, address spender, uint256 allowed) internal returns (uint256 used) {
        uint256 left = allowanceOf(token, spender);
        used = left < allowed ? allowed - left : 0;
        if (left != 0) disallow(token, spender); // mutation: F29 allowance-left
    }

    function allowanceOf(address token, address spender) internal view returns (uint256) {
        return _word(token, abi.encodeCall(IERC20.allowance, (address(this), spender)));
    }

    function _word(address token, bytes memory data) private view returns (uint256 word) {
        bool good;
        assembly ("memory-safe") {
            good := staticcall(gas(), token, add(data, 32), mload(data), 0, 32)
            good := and(good, gt(returndatasize(), 31))
            word := mload(0)
        }
        if (!good) revert TokenCallFailed(token, bytes4(data));
    }

    function _call(address token, bytes memory data) private {
        bool good;
        assembly ("memory-safe") {
            good := call(gas(), token, 0, add(data, 32), mload(data), 0, 32)
            switch returndatasize()
            case 0 { good := and(good, gt(extcodesize(token), 0)) }
            // mutation: F28 token-answer
            default { good := and(good, and(gt(returndatasize(), 31), eq(mload(0), 1))) }
        }
        if (!good) revert TokenCallFailed(token, bytes4(data));
    }
}
