// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Flow, Step} from "../Flow.sol";
import {IAaveV3Oracle, IAaveV3Priced, IAaveV3Registry, IDecimals} from "../interfaces/IAaveV3Oracle.sol";
import {IAaveV3Pool} from "../interfaces/IAaveV3Pool.sol";
import {SafeToken} from "../libraries/SafeToken.sol";

/// Liquidations on Aave v3 and what descends from it. Data: (pool, account, debtToCover).
abstract contract AaveV3Liquidation is Flow {
    uint8 public constant MODULE_AAVE_V3 = 1;

    uint256 private constant HEALTHY = 1e18;

    /// The pool's own view of the account's health.
    function _checkAaveV3(Step memory step) internal view {
        (address pool, address account,) = abi.decode(step.data, (address, address, uint256));
        _requireLendingPool(pool);
        (,,,,, uint256 healthFactor) = IAaveV3Pool(pool).getUserAccountData(account);
        if (healthFactor >= HEALTHY) revert NotLiquidatable(account, healthFactor);
    }

    function _liquidateAaveV3(Step memory step, uint256 held) internal returns (uint256 used) {
        (address pool, address account, uint256 debtToCover) = abi.decode(step.data, (address, address, uint256));
        _requireLendingPool(pool);
        uint256 allowed = debtToCover < held ? debtToCover : held;
        SafeToken.approveExactly(step.spendToken, pool, allowed);
        IAaveV3Pool(pool).liquidationCall(step.receiveToken, step.spendToken, account, debtToCover, false);
        return SafeToken.settle(step.spendToken, pool, allowed);
    }

    /// By the pool's oracle, whose base currency cancels. A price of zero would be no floor at all.
    function _valueByAaveV3(Step memory step, uint256 amount) internal view returns (uint256) {
        (address pool,,) = abi.decode(step.data, (address, address, uint256));
        address registry = IAaveV3Priced(pool).ADDRESSES_PROVIDER();
        IAaveV3Oracle oracle = IAaveV3Oracle(IAaveV3Registry(registry).getPriceOracle());
        (uint256 price, uint256 unit) = _pricedByAaveV3(oracle, step.spendToken);
        (uint256 soldPrice, uint256 soldUnit) = _pricedByAaveV3(oracle, step.receiveToken);
        return amount * soldPrice / soldUnit * unit / price;
    }

    function _pricedByAaveV3(IAaveV3Oracle oracle, address token) private view returns (uint256 price, uint256 unit) {
        price = oracle.getAssetPrice(token);
        if (price == 0) revert NoPrice(token);
        unit = 10 ** IDecimals(token).decimals();
    }
}
