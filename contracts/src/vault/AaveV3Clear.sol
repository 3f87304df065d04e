// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {IAaveV3Oracle, IAaveV3Priced, IAaveV3Registry, IDecimals} from "../interfaces/IAaveV3Oracle.sol";
import {IAaveV3Pool} from "../interfaces/IAaveV3Pool.sol";
import {Clear} from "./Clears.sol";
import {Place} from "./Cures.sol";

/// Clearing on Aave v3 and what descends from it. Data: (pool, account).
abstract contract AaveV3Clear {
    uint8 public constant AAVE_V3_CLEAR = 5;

    error NoPrice(address token);

    function _placeToClearOnAaveV3(Clear memory wanted) internal pure returns (Place memory) {
        (address pool, address account) = abi.decode(wanted.data, (address, address));
        return Place({target: pool, id: bytes32(uint256(uint160(pool))), account: account});
    }

    /// The pool refuses accounts that are well, and takes no more than it lets a liquidator repay.
    function _clearOnAaveV3(Clear memory wanted) internal {
        (address pool, address account) = abi.decode(wanted.data, (address, address));
        IAaveV3Pool(pool).liquidationCall(wanted.collateral, wanted.token, account, wanted.amount, false);
    }

    function _costOnAaveV3(Clear memory wanted, uint256 amount) internal view returns (uint256) {
        (uint256 price, uint256 unit) = _priceOnAaveV3(wanted, wanted.token);
        if (price == 0) revert NoPrice(wanted.token);
        return (amount * price + unit - 1) / unit;
    }

    function _worthOnAaveV3(Clear memory wanted, uint256 amount) internal view returns (uint256) {
        (uint256 price, uint256 unit) = _priceOnAaveV3(wanted, wanted.collateral);
        return amount * price / unit;
    }

    function _priceOnAaveV3(Clear memory wanted, address token)
        private
        view
        returns (uint256 price, uint256 unit)
    {
        (address pool,) = abi.decode(wanted.data, (address, address));
        address registry = IAaveV3Priced(pool).ADDRESSES_PROVIDER();
        price = IAaveV3Oracle(IAaveV3Registry(registry).getPriceOracle()).getAssetPrice(token);
        unit = 10 ** IDecimals(token).decimals();
    }
}
