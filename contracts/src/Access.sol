// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {SafeToken} from "./libraries/SafeToken.sol";

/// What an operator may not exceed, whatever the key that it signs with; both in 1/10,000.
struct OperatorLimits {
    uint16 maxBuilderShareBps;
    uint16 minSaleBps;
}

/// Who may do what: a cold owner, operators who may only liquidate, and the contracts that are called.
abstract contract Access {
    uint256 internal constant BPS = 10_000;

    address public owner;
    address public pendingOwner;
    /// Where every profit goes.
    address public receiver;
    bool public paused;
    mapping(address account => bool) public isOperator;
    /// Lending pools and flash lenders that may be called, and be given an allowance.
    mapping(address pool => bool) public isLendingPool;
    /// Factories whose pools may be traded with.
    mapping(address factory => bool) public isFactory;
    /// The largest share of a profit that an operator may give to the block's builder, in 1/10,000.
    uint16 public maxBuilderShareBps;
    /// The least that a sale must bring of what the protocol's own oracle values the sold collateral at, in 1/10,000.
    /// Zero: the oracle is not asked.
    uint16 public minSaleBps;

    event OwnershipOffered(address indexed owner, address indexed pendingOwner);
    event OwnershipTaken(address indexed owner);
    event ReceiverSet(address indexed receiver);
    event PausedSet(bool paused);
    event OperatorSet(address indexed account, bool allowed);
    event LendingPoolSet(address indexed pool, bool allowed);
    event FactorySet(address indexed factory, bool allowed);
    event MaxBuilderShareSet(uint16 bps);
    event MinSaleSet(uint16 bps);
    event Rescued(address indexed token, address indexed to, uint256 amount);

    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error NotOperator(address caller);
    error IsPaused();
    error BadAddress(address value);
    error NotAllowed(address target);
    error NativeTransferFailed();
    /// More than the whole, in 1/10,000.
    error BadShare(uint16 bps);

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    modifier onlyOperator() {
        if (!isOperator[msg.sender]) revert NotOperator(msg.sender); // mutation: G35 operator
        _;
    }

    modifier whenNotPaused() {
        if (paused) revert IsPaused();
        _;
    }

    constructor(
        address firstOwner,
        address firstReceiver,
        address[] memory operators,
        address[] memory lendingPools,
        address[] memory factories,
        OperatorLimits memory limits
    ) {
        if (firstOwner == address(0)) revert BadAddress(firstOwner);
        owner = firstOwner;
        emit OwnershipTaken(firstOwner);
        _setReceiver(firstReceiver);
        for (uint256 i; i < operators.length; ++i) _setOperator(operators[i], true);
        for (uint256 i; i < lendingPools.length; ++i) _setLendingPool(lendingPools[i], true);
        for (uint256 i; i < factories.length; ++i) _setFactory(factories[i], true);
        _setMaxBuilderShare(limits.maxBuilderShareBps);
        _setMinSale(limits.minSaleBps);
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

    function setReceiver(address newReceiver) external onlyOwner {
        _setReceiver(newReceiver);
    }

    function setPaused(bool value) external onlyOwner {
        paused = value;
        emit PausedSet(value);
    }

    function setOperator(address account, bool allowed) external onlyOwner {
        _setOperator(account, allowed);
    }

    function setLendingPool(address pool, bool allowed) external onlyOwner {
        _setLendingPool(pool, allowed);
    }

    function setFactory(address factory, bool allowed) external onlyOwner {
        _setFactory(factory, allowed);
    }

    function setMaxBuilderShare(uint16 bps) external onlyOwner {
        _setMaxBuilderShare(bps);
    }

    function setMinSale(uint16 bps) external onlyOwner {
        _setMinSale(bps);
    }

    /// Send away what somebody left here; the zero address stands for the native coin.
    function rescue(address token, address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert BadAddress(to);
        if (token == address(0)) {
            (bool sent,) = to.call{value: amount}("");
            if (!sent) revert NativeTransferFailed();
        } else {
            SafeToken.transfer(token, to, amount);
        }
        emit Rescued(token, to, amount);
    }

    function _requireLendingPool(address pool) internal view {
        if (!isLendingPool[pool]) revert NotAllowed(pool);
    }

    function _requireFactory(address factory) internal view {
        if (!isFactory[factory]) revert NotAllowed(factory);
    }

    function _setReceiver(address newReceiver) private {
        if (newReceiver == address(0) || newReceiver == address(this)) revert BadAddress(newReceiver);
        receiver = newReceiver;
        emit ReceiverSet(newReceiver);
    }

    function _setOperator(address account, bool allowed) private {
        isOperator[account] = allowed;
        emit OperatorSet(account, allowed);
    }

    function _setLendingPool(address pool, bool allowed) private {
        isLendingPool[pool] = allowed;
        emit LendingPoolSet(pool, allowed);
    }

    function _setFactory(address factory, bool allowed) private {
        isFactory[factory] = allowed;
        emit FactorySet(factory, allowed);
    }

    function _setMaxBuilderShare(uint16 bps) private {
        if (bps > BPS) revert BadShare(bps);
        maxBuilderShareBps = bps;
        emit MaxBuilderShareSet(bps);
    }

    function _setMinSale(uint16 bps) private {
        if (bps > BPS) revert BadShare(bps);
        minSaleBps = bps;
        emit MinSaleSet(bps);
    }
}
