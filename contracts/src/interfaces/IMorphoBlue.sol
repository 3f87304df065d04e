// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// What makes a market of Morpho Blue; its hash is the market's id.
struct MarketParams {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

/// What is used of Morpho Blue.
interface IMorphoBlue {
    function position(bytes32 id, address account)
        external
        view
        returns (uint256 supplyShares, uint128 borrowShares, uint128 collateral);

    function market(bytes32 id)
        external
        view
        returns (
            uint128 totalSupplyAssets,
            uint128 totalSupplyShares,
            uint128 totalBorrowAssets,
            uint128 totalBorrowShares,
            uint128 lastUpdate,
            uint128 fee
        );

    function accrueInterest(MarketParams memory marketParams) external;

    function liquidate(
        MarketParams memory marketParams,
        address borrower,
        uint256 seizedAssets,
        uint256 repaidShares,
        bytes memory data
    ) external returns (uint256 seized, uint256 repaid);

    function supplyCollateral(
        MarketParams memory marketParams,
        uint256 assets,
        address onBehalf,
        bytes memory data
    ) external;

    function repay(
        MarketParams memory marketParams,
        uint256 assets,
        uint256 shares,
        address onBehalf,
        bytes memory data
    ) external returns (uint256 repaidAssets, uint256 repaidShares);

    function flashLoan(address token, uint256 assets, bytes calldata data) external;
}

/// A market's oracle: the price of one unit of collateral in units of the loan, times 1e36.
interface IMorphoOracle {
    function price() external view returns (uint256);
}
