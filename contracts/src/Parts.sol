// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Job, Module} from "./Flow.sol";
import {AaveV3FlashLoan} from "./funding/AaveV3FlashLoan.sol";
import {MorphoBlueCallback} from "./funding/MorphoBlueCallback.sol";
import {MorphoBlueFlashLoan} from "./funding/MorphoBlueFlashLoan.sol";
import {UniswapV3Flash} from "./funding/UniswapV3Flash.sol";
import {UniswapV3FlashSwap} from "./funding/UniswapV3FlashSwap.sol";
import {AaveV3Liquidation} from "./modules/AaveV3Liquidation.sol";
import {MorphoBlueLiquidation} from "./modules/MorphoBlueLiquidation.sol";

/// The protocols and the sources of money, by number. A further one is a file of its own that
/// states its number, its name in the list of bases, and its line below.
abstract contract Parts is
    AaveV3Liquidation,
    MorphoBlueLiquidation,
    AaveV3FlashLoan,
    UniswapV3Flash,
    UniswapV3FlashSwap,
    MorphoBlueCallback,
    MorphoBlueFlashLoan
{
    error UnknownModule(uint8 module);
    error UnknownFunding(uint8 funding);

    function _module(uint8 number) internal pure returns (Module memory) {
        if (number == MODULE_AAVE_V3) {
            return Module(_checkAaveV3, _liquidateAaveV3, _valueByAaveV3);
        }
        if (number == MODULE_MORPHO_BLUE) {
            return Module(_checkMorphoBlue, _liquidateMorphoBlue, _valueByMorphoBlue);
        }
        revert UnknownModule(number);
    }

    function _funding(uint8 number) internal pure returns (function(Job memory) internal) {
        if (number == FUNDING_AAVE_V3_FLASH_LOAN) return _fundByAaveV3FlashLoan;
        if (number == FUNDING_FLASH_SWAP) return _fundByUniswapV3FlashSwap;
        if (number == FUNDING_UNISWAP_V3_FLASH) return _fundByUniswapV3Flash;
        if (number == FUNDING_MORPHO_CALLBACK) return _fundByMorphoBlueCallback;
        if (number == FUNDING_MORPHO_FLASH_LOAN) return _fundByMorphoBlueFlashLoan;
        revert UnknownFunding(number);
    }
}
