// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Access} from "../Access.sol";
import {IAaveV3Pool} from "../interfaces/IAaveV3Pool.sol";
import {SafeToken} from "../libraries/SafeToken.sol";

/// Liquidations on Aave v3 and what descends from it.
abstract contract AaveV3Liquidation is Access {
    uint256 private constant HEALTHY = 1e18;

    /// The account's health factor is not below one (any more).
    error NotLiquidatable(address account, uint256 healthFactor);

    /// Revert unless the account can be liquidated now; done before anything is borrowed.
    function _requireLiquidatableAaveV3(bytes memory data) internal view {
        (address pool, address account,) = abi.decode(data, (address, address, uint256));
        _requireLendingPool(pool);
        (,,,,, uint256 healthFactor) = IAaveV3Pool(pool).getUserAccountData(account);
        if (healthFactor >= HEALTHY) revert NotLiquidatable(account, healthFactor);
    }

    /// Liquidate with at most `held` of `debt`; returns how much of the allowance was used.
    function _liquidateAaveV3(bytes memory data, address collateral, address debt, uint256 held)
        internal
        returns (uint256 used)
    {
        (address pool, address account, uint256 debtToCover) = abi.decode(data, (address, address, uint256));
        _requireLendingPool(pool);
        uint256 allowed = debtToCover < held ? debtToCover : held;
        SafeToken.approveExactly(debt, pool, allowed);
        IAaveV3Pool(pool).liquidationCall(collateral, debt, account, debtToCover, false);
        uint256 left = SafeToken.allowanceOf(debt, pool);
        used = left < allowed ? allowed - left : 0;
        if (left != 0) SafeToken.disallow(debt, pool);
    }
}
