// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// One cure, as the operator asks for it.
struct Cure {
    /// Which protocol, and whether collateral is added or debt is repaid.
    uint8 kind;
    /// The protocol's own arguments.
    bytes data;
    /// What is spent, and how much of it at most.
    address token;
    uint256 amount;
    /// The health factor (1e18 = 1) that the account must have afterwards, or the owner's where that is more.
    uint256 minHealth;
    uint256 deadline;
}

/// Whose position is meant, and where: a pool, or one market of many.
struct Place {
    /// The contract that is called and takes the money.
    address target;
    bytes32 id;
    address account;
}

/// What a protocol module does for the vault.
struct Remedy {
    /// Whose position it is; reverts if the token is not the one that the kind spends there.
    function(Cure memory) internal view returns (Place memory) place;
    /// The health factor in this block, interest included; the most there is without debt.
    function(Cure memory) internal returns (uint256) health;
    /// Supply or repay; the allowance is there.
    function(Cure memory) internal act;
}
