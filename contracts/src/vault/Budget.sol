// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {SafeToken} from "../libraries/SafeToken.sol";
import {VaultAccess} from "./VaultAccess.sol";

/// What one transaction, and one day, may take of a token.
struct Limit {
    uint128 perTransaction;
    uint128 perDay;
}

/// What was taken on a day; another day begins with nothing.
struct Spending {
    uint64 day;
    uint192 amount;
}

/// Limits in units of each token. A token without a limit is not spent at all. A day is one of the chain's clock,
/// from midnight to midnight UTC: around midnight two days' worth can go within minutes.
abstract contract Budget is VaultAccess {
    mapping(address token => Limit) public limitOf;
    /// What one account may get of a token in a day.
    mapping(address account => mapping(address token => uint256 perDay)) public accountLimitOf;

    mapping(address token => Spending) private spentOf;
    mapping(address account => mapping(address token => Spending)) private spentFor;

    event LimitSet(address indexed token, uint128 perTransaction, uint128 perDay);
    event AccountLimitSet(address indexed account, address indexed token, uint256 perDay);

    error UnknownKind(uint8 kind);
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    error NotFunded(address token, uint256 amount, uint256 balance);
    /// The place took more than it was to get.
    error Overspent(address token, uint256 amount, uint256 spent);
    error OverTransactionLimit(address token, uint256 amount, uint256 limit);
    error OverDayLimit(address token, uint256 amount, uint256 left);
    error OverAccountLimit(address account, address token, uint256 amount, uint256 left);

    function setLimit(address token, uint128 perTransaction, uint128 perDay) external onlyOwner {
        limitOf[token] = Limit(perTransaction, perDay);
        emit LimitSet(token, perTransaction, perDay);
    }

    function setAccountLimit(address account, address token, uint256 perDay) external onlyOwner {
        accountLimitOf[account][token] = perDay;
        emit AccountLimitSet(account, token, perDay);
    }

    /// What may still be spent of a token today, whoever gets it.
    function leftToday(address token) public view returns (uint256) {
        return _left(limitOf[token].perDay, spentOf[token]);
    }

    /// What an account may still get of a token today.
    function leftTodayFor(address account, address token) public view returns (uint256) {
        return _left(accountLimitOf[account][token], spentFor[account][token]);
    }

    function _notAfter(uint256 deadline) internal view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
    }

    /// Book an amount of a token before it is spent, for whomever.
    function _charge(address token, uint256 amount) internal {
        uint256 limit = limitOf[token].perTransaction;
        if (amount > limit) revert OverTransactionLimit(token, amount, limit);
        uint256 left = leftToday(token);
        if (amount > left) revert OverDayLimit(token, amount, left);
        _book(spentOf[token], amount);
    }

    /// Book an amount of a token for an account before it is spent.
    function _charge(address account, address token, uint256 amount) internal {
        _charge(token, amount);
        uint256 left = leftTodayFor(account, token);
        if (amount > left) revert OverAccountLimit(account, token, amount, left);
        _book(spentFor[account][token], amount);
    }

    /// Give back what was booked and not spent, in the same transaction.
    function _refund(address token, uint256 amount) internal {
        spentOf[token].amount -= uint192(amount);
    }

    function _refund(address account, address token, uint256 amount) internal {
        _refund(token, amount);
        spentFor[account][token].amount -= uint192(amount);
    }

    /// Allow a place exactly the amount; returns what the vault has now.
    function _allow(address token, address target, uint256 amount) internal returns (uint256 held) {
        held = SafeToken.balanceOf(token, address(this));
        if (held < amount) revert NotFunded(token, amount, held);
        SafeToken.approveExactly(token, target, amount);
    }

    /// Take back what is left of the allowance; returns what left the vault since it held `held`.
    function _settle(address token, address target, uint256 amount, uint256 held)
        internal
        returns (uint256 spent)
    {
        SafeToken.disallow(token, target);
        uint256 left = SafeToken.balanceOf(token, address(this));
        spent = left < held ? held - left : 0;
        if (spent > amount) revert Overspent(token, amount, spent);
    }

    function _book(Spending storage spent, uint256 amount) internal {
        uint64 today = _today();
        uint256 before = spent.day == today ? spent.amount : 0;
        (spent.day, spent.amount) = (today, uint192(before + amount));
    }

    function _left(uint256 perDay, Spending storage spent) internal view returns (uint256) {
        uint256 gone = spent.day == _today() ? spent.amount : 0;
        return gone < perDay ? perDay - gone : 0;
    }

    function _today() private view returns (uint64) {
        return uint64(block.timestamp / 1 days);
    }
}
