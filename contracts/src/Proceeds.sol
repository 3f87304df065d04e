// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Flow, Job, Step} from "./Flow.sol";
import {IWrappedNative} from "./interfaces/IERC20.sol";
import {SafeToken} from "./libraries/SafeToken.sol";

/// Where the profit of a step goes: a share to the block's builder, the rest to the receiver.
abstract contract Proceeds is Flow {
    uint256 private constant BUILDER_GAS = 30_000;

    address public immutable wrappedNative;

    /// The receiver got less than the step has to bring.
    error BelowMinProfit(uint256 profit, uint256 minProfit);
    error NotWrappedNative(address sender);
    /// The sale brought less than the owner's share of what the protocol's oracle values the collateral at.
    error SaleBelowFloor(uint256 brought, uint256 floor);

    constructor(address wrapped) {
        wrappedNative = wrapped;
    }

    /// Only unwrapping brings the native coin here.
    receive() external payable {
        if (msg.sender != wrappedNative) revert NotWrappedNative(msg.sender);
    }

    /// Revert where the collateral brought less than the owner's floor. What was repaid counts as brought, fees of loans
    /// and pools do not, so that every venue and every source of money is held to it alike. Where both tokens are the
    /// same nothing is sold and no oracle asked, yet a lender could still take the bonus as its fee.
    function _requireSale(Job memory job, uint256 spent, uint256 received) internal {
        uint256 share = minSaleBps;
        if (share == 0) return;
        uint256 worth = received;
        if (job.step.receiveToken != job.step.spendToken) {
            uint256 left = _gained(job.step.receiveToken, job.receiveBefore);
            worth = left < received ? _valueInSpendToken(job.step, received - left) : 0;
        }
        uint256 brought = _gained(job.step.spendToken, job.spendBefore) + spent;
        uint256 floor = worth * share / BPS;
        if (brought < floor) revert SaleBelowFloor(brought, floor);
    }

    /// What the step's protocol values an amount of the received token at, in the spend token, rounded down.
    function _valueInSpendToken(Step memory step, uint256 amount) internal virtual returns (uint256 value);

    /// Send away everything that the step gained; returns what the receiver got of the spend token.
    function _distribute(Job memory job, uint16 builderShareBps) internal returns (uint256 profit) {
        address token = job.step.spendToken;
        address collateral = job.step.receiveToken;
        if (collateral != token) {
            uint256 rest = _gained(collateral, job.receiveBefore);
            if (rest != 0) _forward(collateral, rest, job.receiveBefore);
        }
        uint256 gained = _gained(token, job.spendBefore);
        if (builderShareBps != 0 && gained != 0 && token == wrappedNative) {
            _payBuilder(gained * builderShareBps / BPS);
            gained = _gained(token, job.spendBefore);
        }
        if (gained != 0) {
            uint256 before = SafeToken.balanceOf(token, receiver);
            _forward(token, gained, job.spendBefore);
            uint256 balance = SafeToken.balanceOf(token, receiver);
            profit = balance > before ? balance - before : 0;
        }
        // mutation: G18 minimum-profit
        if (profit < job.step.minProfit) revert BelowMinProfit(profit, job.step.minProfit);
    }

    /// Send to the receiver. A token that takes more than it moves must not take it from what lay here before.
    function _forward(address token, uint256 amount, uint256 before) private {
        SafeToken.transfer(token, receiver, amount);
        _gained(token, before);
    }

    /// A builder that does not take its share blocks nothing: the share is wrapped again.
    function _payBuilder(uint256 share) private {
        if (share == 0) return;
        IWrappedNative(wrappedNative).withdraw(share);
        bool paid;
        assembly ("memory-safe") {
            paid := call(BUILDER_GAS, coinbase(), share, 0, 0, 0, 0)
        }
        if (!paid) IWrappedNative(wrappedNative).deposit{value: share}();
    }
}
