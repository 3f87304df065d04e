// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {SafeToken} from "../libraries/SafeToken.sol";
import {Slots} from "slots/Slots.sol";

/// Who may do what with the vault: a cold owner, and operators who may only cure.
abstract contract VaultAccess {
    bytes32 private constant LOCK = keccak256("cure-vault.lock");

    address public owner;
    address public pendingOwner;
    bool public paused;
    mapping(address account => bool) public isOperator;

    event OwnershipOffered(address indexed owner, address indexed pendingOwner);
    event OwnershipTaken(address indexed owner);
    event PausedSet(bool paused);
    event OperatorSet(address indexed account, bool allowed);
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error NotOperator(address caller);
    error IsPaused();
    error BadAddress(address value);
    error Reentered();
    error NativeTransferFailed();

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    modifier onlyOperator() {
        if (!isOperator[msg.sender]) revert NotOperator(msg.sender);
        _;
    }

    modifier whenNotPaused() {
        if (paused) revert IsPaused();
        _;
    }

    /// Nothing that moves money is entered twice.
    modifier locked() {
        if (Slots.read(LOCK) != 0) revert Reentered();
        Slots.write(LOCK, bytes32(uint256(1)));
        _;
        Slots.write(LOCK, 0);
    }

    constructor(address firstOwner, address[] memory operators) {
        if (firstOwner == address(0)) revert BadAddress(firstOwner);
        owner = firstOwner;
        emit OwnershipTaken(firstOwner);
        for (uint256 i; i < operators.length; ++i) _setOperator(operators[i], true);
    }

    /// Offer the ownership; nothing changes until the other side takes it.
    function transferOwnership(address newOwner) external onlyOwner {
        pendingOwner = newOwner;
        emit OwnershipOffered(owner, newOwner);
    }

    /// Take an ownership that was offered.
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
        emit OwnershipTaken(msg.sender);
    }

    function setPaused(bool value) external onlyOwner {
        paused = value;
        emit PausedSet(value);
    }

    function setOperator(address account, bool allowed) external onlyOwner {
        _setOperator(account, allowed);
    }

    /// Take money out; the zero address stands for the native coin, which only gets here by force.
    function withdraw(address token, address to, uint256 amount) external onlyOwner locked {
        if (to == address(0)) revert BadAddress(to);
        if (token == address(0)) {
            (bool sent,) = to.call{value: amount}("");
            if (!sent) revert NativeTransferFailed();
        } else {
            SafeToken.transfer(token, to, amount);
        }
        emit Withdrawn(token, to, amount);
    }

    function _setOperator(address account, bool allowed) private {
        isOperator[account] = allowed;
        emit OperatorSet(account, allowed);
    }
}
