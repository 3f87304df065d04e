// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// @title ReadAggregator
/// @notice Runs many calls, each of which may fail alone, and is deployed nowhere: its constructor
/// returns, as if it were the code to deploy, what Multicall3's `aggregate3` would return for calls
/// that are all allowed to fail. It is for chains without Multicall3. Where it is placed as the code
/// of an unused address instead, it runs in the same way.
contract ReadAggregator {
    struct Call {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    /// @param calls What to call, encoded as the argument of `aggregate3`.
    constructor(Call[] memory calls) {
        Result[] memory results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            (results[i].success, results[i].returnData) = calls[i].target.call(calls[i].callData);
        }
        bytes memory answer = abi.encode(results);
        assembly {
            return(add(answer, 32), mload(answer))
        }
    }
}
