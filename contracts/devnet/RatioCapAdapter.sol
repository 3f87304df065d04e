// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

interface IAnswer {
    function latestAnswer() external view returns (int256);
}

/// @title A price source as lending markets put in front of liquid staking tokens.
/// @notice Price = price of the base asset x min(ratio, cap); has `latestAnswer` but no round data.
contract RatioCapAdapter {
    /// @notice The feed of the base asset, 8 decimals.
    IAnswer public immutable BASE_TO_USD_AGGREGATOR;

    /// @notice The ratio above which the price does not follow, 1e18 = 1.
    int256 public immutable CAP;

    address private immutable OWNER;

    /// @notice Base asset per token, 1e18 = 1, as the staking contract would report it.
    int256 public getRatio;

    error OnlyOwner();

    constructor(IAnswer base, int256 ratio, int256 cap) {
        BASE_TO_USD_AGGREGATOR = base;
        CAP = cap;
        OWNER = msg.sender;
        getRatio = ratio;
    }

    /// @notice Replace the ratio.
    function setRatio(int256 ratio) external {
        if (msg.sender != OWNER) revert OnlyOwner();
        getRatio = ratio;
    }

    /// @notice The token's price, with the base feed's decimals; rounds down.
    function latestAnswer() external view returns (int256) {
        int256 ratio = getRatio < CAP ? getRatio : CAP;
        return BASE_TO_USD_AGGREGATOR.latestAnswer() * ratio / 1e18;
    }
}
