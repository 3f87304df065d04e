// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Words that live for one transaction: transient storage (EIP-1153).
/// `src/slots/storage` has the same library for chains without it; the build chooses.
library Slots {
    function read(bytes32 slot) internal view returns (bytes32 word) {
        assembly ("memory-safe") {
            word := tload(slot)
        }
    }

    function write(bytes32 slot, bytes32 word) internal {
        assembly ("memory-safe") {
            tstore(slot, word)
        }
    }
}
