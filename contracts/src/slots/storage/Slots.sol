// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Words that live for one transaction: storage slots, which their users set back to zero.
/// `src/slots/transient` has the same library over transient storage; the build chooses.
library Slots {
    function read(bytes32 slot) internal view returns (bytes32 word) {
        assembly ("memory-safe") {
            word := sload(slot)
        }
    }

    function write(bytes32 slot, bytes32 word) internal {
        assembly ("memory-safe") {
            sstore(slot, word)
        }
    }
}
