// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

/// What an OP-stack chain answers at its predeploy, by the formulas of its published
/// specification (Ecotone's fee of given data, Fjord's upper bound of a size).
contract RollupGasPriceOracle {
    uint256 public constant L1_BASE_FEE = 20 gwei;
    uint256 public constant BLOB_BASE_FEE = 3 gwei;
    uint256 public constant BASE_FEE_SCALAR = 5_227;
    uint256 public constant BLOB_BASE_FEE_SCALAR = 1_014_213;

    function getL1Fee(bytes calldata data) external pure returns (uint256) {
        uint256 gas = 68 * 16; // the signature, which is not there yet
        for (uint256 at = 0; at < data.length; at++) {
            gas += data[at] == 0 ? 4 : 16;
        }
        return gas * price() / (16 * 1e6);
    }

    function getL1FeeUpperBound(uint256 unsignedSize) external pure returns (uint256) {
        uint256 size = unsignedSize + 68;
        int256 scaled = -42_585_600 + 836_500 * int256(size + size / 255 + 16);
        if (scaled < 100e6) scaled = 100e6;
        return uint256(scaled) * price() / 1e12;
    }

    function price() private pure returns (uint256) {
        return BASE_FEE_SCALAR * 16 * L1_BASE_FEE + BLOB_BASE_FEE_SCALAR * BLOB_BASE_FEE;
    }
}

/// Arbitrum's virtual contract, as far as the data's gas goes.
contract RollupNodeInterface {
    function gasEstimateL1Component(address, bool creation, bytes calldata data)
        external
        payable
        returns (uint64, uint256, uint256)
    {
        require(!creation, "no creation");
        return (uint64(data.length * 16), 0.01 gwei, 20 gwei);
    }
}
