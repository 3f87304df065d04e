// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// How an Aave v3 pool says where its prices come from.
interface IAaveV3Priced {
    function ADDRESSES_PROVIDER() external view returns (address provider);
}

/// The pool's registry.
interface IAaveV3Registry {
    function getPriceOracle() external view returns (address oracle);
}

/// The pool's prices: of a whole token, in units of the base currency.
interface IAaveV3Oracle {
    function getAssetPrice(address asset) external view returns (uint256 price);
}

/// What is asked of a token to price it.
interface IDecimals {
    function decimals() external view returns (uint8);
}
