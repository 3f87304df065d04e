// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Flow, Job} from "../Flow.sol";
import {IAaveV3Pool} from "../interfaces/IAaveV3Pool.sol";
import {SafeToken} from "../libraries/SafeToken.sol";

/// The spend token from an Aave v3 pool, for its flash loan premium.
abstract contract AaveV3FlashLoan is Flow {
    uint8 public constant FUNDING_AAVE_V3_FLASH_LOAN = 1;

    /// Somebody else started the flash loan.
    error ForeignInitiator(address initiator);

    function _fundByAaveV3FlashLoan(Job memory job) internal {
        address lender = job.step.lender;
        _requireLendingPool(lender);
        bytes memory data = abi.encode(job);
        _expect(lender, this.executeOperation.selector, data);
        IAaveV3Pool(lender).flashLoanSimple(address(this), job.step.spendToken, job.step.borrowAmount, data, 0);
        _requireConsumed(lender);
        SafeToken.disallow(job.step.spendToken, lender);
    }

    /// The pool's callback; the money is here, and amount and premium are taken when it returns.
    function executeOperation(address asset, uint256 amount, uint256 premium, address initiator, bytes calldata params)
        external
        returns (bool)
    {
        _consume(params);
        if (initiator != address(this)) revert ForeignInitiator(initiator);
        Job memory job = abi.decode(params, (Job));
        if (asset != job.step.spendToken || amount != job.step.borrowAmount) revert OtherLoan(asset, amount);
        _liquidate(job);
        _sell(job);
        uint256 owed = amount + premium;
        uint256 held = _gained(asset, job.spendBefore);
        if (held < owed) revert Shortfall(asset, owed, held);
        SafeToken.approveExactly(asset, msg.sender, owed);
        return true;
    }
}
