// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {IAaveV3Pool} from "../interfaces/IAaveV3Pool.sol";
import {Cure, Place} from "./Cures.sol";

/// Cures on Aave v3 and what descends from it. Data: (pool, account, interestRateMode); the mode is the repaid debt's.
abstract contract AaveV3Cure {
    uint8 public constant AAVE_V3_SUPPLY = 1;
    uint8 public constant AAVE_V3_REPAY = 2;

    function _placeOnAaveV3(Cure memory wanted) internal pure returns (Place memory) {
        (address pool, address account,) = abi.decode(wanted.data, (address, address, uint256));
        return Place({target: pool, id: bytes32(uint256(uint160(pool))), account: account});
    }

    function _healthOnAaveV3(Cure memory wanted) internal view returns (uint256 healthFactor) {
        (address pool, address account,) = abi.decode(wanted.data, (address, address, uint256));
        (,,,,, healthFactor) = IAaveV3Pool(pool).getUserAccountData(account);
    }

    function _supplyOnAaveV3(Cure memory wanted) internal {
        (address pool, address account,) = abi.decode(wanted.data, (address, address, uint256));
        IAaveV3Pool(pool).supply(wanted.token, wanted.amount, account, 0);
    }

    /// The pool takes no more than is owed.
    function _repayOnAaveV3(Cure memory wanted) internal {
        (address pool, address account, uint256 mode) = abi.decode(wanted.data, (address, address, uint256));
        IAaveV3Pool(pool).repay(wanted.token, wanted.amount, mode, account);
    }
}
