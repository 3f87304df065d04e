// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Job} from "../Flow.sol";
import {IUniswapV3Pool} from "../interfaces/IUniswapV3.sol";
import {SafeToken} from "../libraries/SafeToken.sol";
import {UniswapV3Venue} from "../venues/UniswapV3Venue.sol";

/// The spend token from a Uniswap v3 pool's `flash`, for the pool's fee. That pool is locked meanwhile.
abstract contract UniswapV3Flash is UniswapV3Venue {
    uint8 public constant FUNDING_UNISWAP_V3_FLASH = 3;

    function _fundByUniswapV3Flash(Job memory job) internal {
        address lender = job.step.lender;
        address token0 = IUniswapV3Pool(lender).token0();
        address token1 = IUniswapV3Pool(lender).token1();
        if (_poolOf(job.step.factory, token0, token1, IUniswapV3Pool(lender).fee()) != lender) {
            revert NotAllowed(lender);
        }
        bool first = job.step.spendToken == token0;
        uint256 amount = job.step.borrowAmount;
        bytes memory data = abi.encode(job);
        _expect(lender, this.uniswapV3FlashCallback.selector, data);
        IUniswapV3Pool(lender).flash(address(this), first ? amount : 0, first ? 0 : amount, data);
        _requireConsumed(lender);
    }

    /// The pool's callback; the money is here and is paid back with the fee.
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external {
        _consume(data);
        Job memory job = abi.decode(data, (Job));
        _liquidate(job);
        _sell(job);
        address token = job.step.spendToken;
        uint256 owed = job.step.borrowAmount + fee0 + fee1;
        uint256 held = _gained(token, job.spendBefore);
        if (held < owed) revert Shortfall(token, owed, held);
        SafeToken.transfer(token, msg.sender, owed);
    }
}
