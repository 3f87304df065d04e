// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

interface IFeed {
    function latestAnswer() external view returns (int256);
}

/// @title A Morpho oracle over two Chainlink-shaped feeds of 8 decimals, as the usual ones are made.
/// @notice No check of age, no check of a sequencer: a lending market trusts it as it is.
contract FeedOracle {
    IFeed public immutable BASE_FEED_1;
    IFeed public immutable QUOTE_FEED_1;

    /// @notice 10 ** (36 + decimals of the loan token - decimals of the collateral token).
    uint256 public immutable SCALE_FACTOR;

    error NegativeAnswer();

    constructor(IFeed base, IFeed quote, uint256 collateralDecimals, uint256 loanDecimals) {
        BASE_FEED_1 = base;
        QUOTE_FEED_1 = quote;
        SCALE_FACTOR = 10 ** (36 + loanDecimals - collateralDecimals);
    }

    /// @notice Loan units for one unit of collateral, times 1e36; rounds down.
    function price() external view returns (uint256) {
        return SCALE_FACTOR * _answer(BASE_FEED_1) / _answer(QUOTE_FEED_1);
    }

    function _answer(IFeed feed) private view returns (uint256) {
        int256 answer = feed.latestAnswer();
        if (answer < 0) revert NegativeAnswer();
        return uint256(answer);
    }
}

/// @title Makes oracles and remembers them, under the name that Morpho's own factory uses.
contract FeedOracleFactory {
    mapping(address => bool) public isMorphoChainlinkOracleV2;

    function create(IFeed base, IFeed quote, uint256 collateralDecimals, uint256 loanDecimals)
        external
        returns (address made)
    {
        made = address(new FeedOracle(base, quote, collateralDecimals, loanDecimals));
        isMorphoChainlinkOracleV2[made] = true;
    }
}
