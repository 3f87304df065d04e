// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Job} from "../Flow.sol";
import {Payment, UniswapV3Venue} from "../venues/UniswapV3Venue.sol";

/// The spend token from the last pool of the exit itself, which is paid in what the liquidation brings: no loan, no fee.
abstract contract UniswapV3FlashSwap is UniswapV3Venue {
    uint8 public constant FUNDING_FLASH_SWAP = 2;

    function _fundByUniswapV3FlashSwap(Job memory job) internal {
        if (job.step.path.length == 0) revert BadPath();
        Payment memory payment =
            Payment({factory: job.step.factory, available: 0, path: job.step.path, job: abi.encode(job)});
        _buyExactly(payment, job.step.borrowAmount, address(this));
        _sell(job);
    }
}
