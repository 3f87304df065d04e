// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Access} from "./Access.sol";
import {SafeToken} from "./libraries/SafeToken.sol";
import {Slots} from "slots/Slots.sol";

/// One liquidation, as the operator asks for it.
struct Step {
    /// Which protocol module performs it.
    uint8 module;
    /// The module's own arguments.
    bytes data;
    /// The debt token, which is paid, and in which profit is counted.
    address spendToken;
    /// The collateral token, which is received and sold; may be the spend token.
    address receiveToken;
    /// Where the spend token comes from.
    uint8 funding;
    /// The contract that lends it (not used by the flash swap).
    address lender;
    /// How much is borrowed; enough for the debt at any timestamp up to the deadline.
    uint256 borrowAmount;
    /// The factory that vouches for the pools of `path` (and for a pool that lends).
    address factory;
    /// token, fee, token, ... from `receiveToken` to `spendToken`, packed 20, 3, 20 bytes; empty if they are the same.
    bytes path;
    /// The least that the receiver must get, in the spend token.
    uint256 minProfit;
    /// The most gas the step may use.
    uint256 gasLimit;
}

/// A step under way, with what lay in the executor before it: that is nobody's profit.
struct Job {
    Step step;
    uint256 spendBefore;
    uint256 receiveBefore;
}

/// What modules, fundings and venues share: the callback in flight and the way inwards.
abstract contract Flow is Access {
    bytes32 private constant IN_FLIGHT = keccak256("liquidation-executor.in-flight");

    /// A callback that no call of ours is waiting for: wrong caller, wrong data, or no call at all.
    error UnexpectedCallback(address caller);
    /// The contract that was called did not call back.
    error CallbackMissing(address target);
    /// More is owed than the liquidation brought.
    error Shortfall(address token, uint256 owed, uint256 available);
    /// The path does not lead from the received to the spent token.
    error BadPath();

    /// Wait for one callback from `caller` with exactly `data`.
    function _expect(address caller, bytes memory data) internal {
        Slots.write(IN_FLIGHT, _ticket(caller, keccak256(data)));
    }

    /// Accept the callback that is waited for, once.
    function _consume(bytes calldata data) internal {
        if (Slots.read(IN_FLIGHT) != _ticket(msg.sender, keccak256(data))) revert UnexpectedCallback(msg.sender);
        Slots.write(IN_FLIGHT, 0);
    }

    /// The call to `target` is over: its callback must have come.
    function _requireConsumed(address target) internal view {
        if (Slots.read(IN_FLIGHT) != 0) revert CallbackMissing(target);
    }

    /// What of `token` is here beyond `before`.
    function _gained(address token, uint256 before) internal view returns (uint256) {
        uint256 balance = SafeToken.balanceOf(token, address(this));
        if (balance < before) revert Shortfall(token, before, balance);
        return balance - before;
    }

    /// Perform the liquidation with the spend token at hand; returns what was received.
    function _liquidate(Job memory job) internal virtual returns (uint256 received);

    /// Sell all of the received token that is left for the spend token.
    function _sell(Job memory job) internal virtual;

    function _ticket(address caller, bytes32 dataHash) private pure returns (bytes32) {
        return keccak256(abi.encode(caller, dataHash));
    }
}
