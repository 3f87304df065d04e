// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Flow, Job} from "../Flow.sol";
import {IMorphoBlue} from "../interfaces/IMorphoBlue.sol";
import {SafeToken} from "../libraries/SafeToken.sol";

/// The spend token from everything that lies in Morpho Blue, for nothing.
abstract contract MorphoBlueFlashLoan is Flow {
    uint8 public constant FUNDING_MORPHO_FLASH_LOAN = 5;

    function _fundByMorphoBlueFlashLoan(Job memory job) internal {
        address lender = job.step.lender;
        _requireLendingPool(lender);
        bytes memory data = abi.encode(job);
        _expect(lender, this.onMorphoFlashLoan.selector, data);
        IMorphoBlue(lender).flashLoan(job.step.spendToken, job.step.borrowAmount, data);
        _requireConsumed(lender);
        SafeToken.disallow(job.step.spendToken, lender);
    }

    /// Morpho's callback; the money is here, and the same amount is taken when it returns.
    function onMorphoFlashLoan(uint256 assets, bytes calldata data) external {
        _consume(data);
        Job memory job = abi.decode(data, (Job));
        address token = job.step.spendToken;
        if (assets != job.step.borrowAmount) revert OtherLoan(token, assets);
        _liquidate(job);
        _sell(job);
        uint256 held = _gained(token, job.spendBefore);
        if (held < assets) revert Shortfall(token, assets, held);
        SafeToken.approveExactly(token, msg.sender, assets);
    }
}
