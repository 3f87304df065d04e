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
    /// The contract that lends it (not used where the exit's pool or the protocol itself waits for its money).
    address lender;
    /// How much is borrowed, enough at any timestamp up to the deadline (not used where the protocol waits).
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

/// What a protocol module does for the executor.
struct Module {
    /// Revert unless the step can work now; called before anything is borrowed.
    function(Step memory) internal check;
    /// Liquidate with at most the given amount of the spend token; returns how much of the allowance was used.
    function(Step memory, uint256) internal returns (uint256) liquidate;
    /// Value an amount of the received token in the spend token, by the protocol's own oracle, rounded down.
    function(Step memory, uint256) internal returns (uint256) value;
}

/// What modules, fundings and venues share: the callback in flight and the way inwards.
abstract contract Flow is Access {
    bytes32 private constant IN_FLIGHT = keccak256("liquidation-executor.in-flight");
    bytes32 private constant TALLY = keccak256("liquidation-executor.tally");

    /// A callback that no call of ours is waiting for: wrong caller, wrong data, or no call at all.
    error UnexpectedCallback(address caller);
    /// The contract that was called did not call back.
    error CallbackMissing(address target);
    /// The lender lent something else than it was asked for.
    error OtherLoan(address asset, uint256 amount);
    /// More is owed than the liquidation brought.
    error Shortfall(address token, uint256 owed, uint256 available);
    /// The path does not lead from the received to the spent token.
    error BadPath();
    /// The position is healthy (again), or gone; the health factor is 1e18 at the limit.
    error NotLiquidatable(address account, uint256 healthFactor);
    error AmountTooLarge(uint256 amount);
    /// The protocol's own oracle has no price of the token.
    error NoPrice(address token);

    /// Wait for one callback from `caller`, to the function `entry`, with exactly `data`.
    function _expect(address caller, bytes4 entry, bytes memory data) internal {
        Slots.write(IN_FLIGHT, _ticket(caller, entry, keccak256(data)));
    }

    /// Accept the callback that is waited for, once.
    function _consume(bytes calldata data) internal {
        if (Slots.read(IN_FLIGHT) != _ticket(msg.sender, msg.sig, keccak256(data))) {
            revert UnexpectedCallback(msg.sender); // mutation: G35 callback
        }
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

    /// Remember what the step spent and received, for its report; it decides nothing.
    function _record(uint256 spent, uint256 received) internal {
        if (spent > type(uint128).max) revert AmountTooLarge(spent);
        if (received > type(uint128).max) revert AmountTooLarge(received);
        Slots.write(TALLY, bytes32(spent << 128 | received));
    }

    /// What was remembered, once.
    function _recorded() internal returns (uint256 spent, uint256 received) {
        uint256 tally = uint256(Slots.read(TALLY));
        Slots.write(TALLY, 0);
        return (tally >> 128, uint256(uint128(tally)));
    }

    /// Perform the liquidation with the spend token at hand; returns what was received.
    function _liquidate(Job memory job) internal virtual returns (uint256 received);

    /// Sell all of the received token that is left for the spend token.
    function _sell(Job memory job) internal virtual;

    function _ticket(address caller, bytes4 entry, bytes32 dataHash) private pure returns (bytes32) {
        return keccak256(abi.encode(caller, entry, dataHash));
    }
}
