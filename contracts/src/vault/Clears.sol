// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Place} from "./Cures.sol";

/// One account to be cleared, as the operator asks for it.
struct Clear {
    /// Which protocol.
    uint8 kind;
    /// The protocol's own arguments.
    bytes data;
    /// The debt that is repaid, and how much of it at most.
    address token;
    uint256 amount;
    /// What the vault takes for it.
    address collateral;
    /// The most that it may lose, in the place's base currency.
    uint256 maxLoss;
    uint256 deadline;
}

/// What a protocol module does for the vault.
struct Remover {
    function(Clear memory) internal pure returns (Place memory) place;
    /// Liquidate; the allowance is there.
    function(Clear memory) internal act;
    /// What so much of the debt is worth in the place's base currency, rounded up; reverts without a price.
    function(Clear memory, uint256) internal view returns (uint256) costOf;
    /// What so much of the collateral is worth there, rounded down.
    function(Clear memory, uint256) internal view returns (uint256) worthOf;
}
