// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Job} from "../Flow.sol";
import {SafeToken} from "../libraries/SafeToken.sol";
import {MorphoBlueLiquidation} from "../modules/MorphoBlueLiquidation.sol";

/// No loan at all: Morpho sends the collateral, waits while it is sold, and takes its money from the sale.
abstract contract MorphoBlueCallback is MorphoBlueLiquidation {
    /// Only Morpho's own liquidations wait.
    error NotItsModule(uint8 funding, uint8 module);

    function _fundByMorphoBlueCallback(Job memory job) internal {
        if (job.step.module != MODULE_MORPHO_BLUE) revert NotItsModule(job.step.funding, job.step.module);
        address morpho = _seizure(job.step.data).morpho;
        bytes memory message = abi.encode(job);
        _expect(morpho, this.onMorphoLiquidate.selector, message);
        _seizeMorphoBlue(job.step.data, message);
        _requireConsumed(morpho);
        SafeToken.disallow(job.step.spendToken, morpho);
    }

    /// Morpho's callback in a liquidation; the collateral is here, and the debt is taken when it returns.
    function onMorphoLiquidate(uint256 repaidAssets, bytes calldata data) external {
        _consume(data);
        Job memory job = abi.decode(data, (Job));
        _record(repaidAssets, _gained(job.step.receiveToken, job.receiveBefore));
        _sell(job);
        address token = job.step.spendToken;
        uint256 held = _gained(token, job.spendBefore);
        if (held < repaidAssets) revert Shortfall(token, repaidAssets, held);
        SafeToken.approveExactly(token, msg.sender, repaidAssets);
    }
}
