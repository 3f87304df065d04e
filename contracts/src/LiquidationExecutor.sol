// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Access, OperatorLimits} from "./Access.sol";
import {Job, Step} from "./Flow.sol";
import {Parts} from "./Parts.sol";
import {Proceeds} from "./Proceeds.sol";
import {Path} from "./libraries/Path.sol";
import {SafeToken} from "./libraries/SafeToken.sol";
import {Slots} from "slots/Slots.sol";

/// What became of one step: the profit in the spend token, or the (bounded) revert data, and the gas that it took.
struct StepResult {
    bool ok;
    uint256 profit;
    uint256 gasUsed;
    bytes failure;
}

/// Liquidates with borrowed money, sells what it gets, sends the profit to a fixed receiver. It keeps
/// nothing, and what others leave here is neither profit nor money to spend.
contract LiquidationExecutor is Parts, Proceeds {
    /// Rises with every release whose code or calls differ.
    uint256 public constant VERSION = 2;
    /// Kept back for reporting each step that is still to come, and this one.
    uint256 public constant REPORT_GAS = 20_000;
    /// The longest revert data that is reported of a step.
    uint256 public constant MAX_FAILURE_BYTES = 256;

    bytes32 private constant LOCK = keccak256("liquidation-executor.lock");

    event Liquidated(
        uint256 indexed index,
        address indexed spendToken,
        address indexed receiveToken,
        uint256 spent,
        uint256 received,
        uint256 profit
    );
    event StepFailed(uint256 indexed index, bytes reason);

    error Reentered();
    error NotSelf(address caller);
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    /// More than the owner lets an operator give to the builder.
    error BadBuilderShare(uint16 bps);
    /// The step was not started: its gas limit and the reports after it need more than is left.
    error NotEnoughGas(uint256 needed, uint256 left);
    /// No step worked; the reasons, in order.
    error NothingWorked(bytes[] failures);

    constructor(
        address firstOwner,
        address firstReceiver,
        address[] memory operators,
        address[] memory lendingPools,
        address[] memory factories,
        address wrapped,
        OperatorLimits memory limits
    ) Access(firstOwner, firstReceiver, operators, lendingPools, factories, limits) Proceeds(wrapped) {}

    /// Perform the steps in order; a failing one is undone and reported, and the rest go on.
    /// Reverts if none worked. The timestamp is the same during a whole transaction, so the deadline is
    /// checked where being late costs least; the minimum profit is the last thing that each step does.
    function liquidate(Step[] calldata steps, uint256 deadline, uint16 builderShareBps)
        external
        onlyOperator
        whenNotPaused
        returns (StepResult[] memory results)
    {
        if (Slots.read(LOCK) != 0) revert Reentered();
        // mutation: G10 deadline
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        if (builderShareBps > maxBuilderShareBps) revert BadBuilderShare(builderShareBps);
        Slots.write(LOCK, bytes32(uint256(1)));
        results = new StepResult[](steps.length);
        bool worked;
        for (uint256 i; i < steps.length; ++i) {
            bytes memory request = abi.encodeCall(this.runStep, (i, steps[i], builderShareBps));
            results[i] = _attempt(request, steps[i].gasLimit, REPORT_GAS * (steps.length - i));
            if (results[i].ok) worked = true;
            else emit StepFailed(i, results[i].failure);
        }
        if (!worked) _revertWithAll(results);
        Slots.write(LOCK, 0);
    }

    /// One step, all or nothing; the executor calls itself so that it can be undone alone.
    function runStep(uint256 index, Step calldata step, uint16 builderShareBps) external returns (uint256 profit) {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        Job memory job = Job({
            step: step,
            spendBefore: SafeToken.balanceOf(step.spendToken, address(this)),
            receiveBefore: SafeToken.balanceOf(step.receiveToken, address(this))
        });
        _check(job.step);
        _funding(job.step.funding)(job);
        (uint256 spent, uint256 received) = _recorded();
        _requireSale(job, spent, received);
        profit = _distribute(job, builderShareBps);
        emit Liquidated(index, step.spendToken, step.receiveToken, spent, received, profit);
    }

    function _check(Step memory step) private {
        bool same = step.spendToken == step.receiveToken;
        if (same ? step.path.length != 0 : !Path.leads(step.path, step.receiveToken, step.spendToken)) {
            revert BadPath();
        }
        _module(step.module).check(step);
    }

    /// Amounts are differences of balances. Only where both tokens are the same does what was spent
    /// come from the allowance that was used; it is reported and decides nothing.
    function _liquidate(Job memory job) internal override returns (uint256 received) {
        Step memory step = job.step;
        uint256 held = _gained(step.spendToken, job.spendBefore);
        uint256 before = SafeToken.balanceOf(step.receiveToken, address(this));
        uint256 spent = _module(step.module).liquidate(step, held);
        if (step.spendToken == step.receiveToken) {
            received = SafeToken.balanceOf(step.receiveToken, address(this)) + spent - before;
        } else {
            received = _gained(step.receiveToken, before);
            spent = held - _gained(step.spendToken, job.spendBefore);
        }
        _record(spent, received);
    }

    function _sell(Job memory job) internal override {
        if (job.step.path.length == 0) return;
        uint256 amount = _gained(job.step.receiveToken, job.receiveBefore);
        if (amount != 0) _sellAlong(job.step.factory, job.step.path, amount);
    }

    function _valueInSpendToken(Step memory step, uint256 amount) internal override returns (uint256) {
        return _module(step.module).value(step, amount);
    }

    /// Call ourselves with exactly `gasLimit`, and copy no more than a bounded part of the answer.
    function _attempt(bytes memory request, uint256 gasLimit, uint256 reserve) private returns (StepResult memory result) {
        uint256 needed = gasLimit > type(uint128).max ? gasLimit : gasLimit + gasLimit / 63 + 1 + reserve;
        if (gasleft() < needed) {
            result.failure = abi.encodeWithSelector(NotEnoughGas.selector, needed, gasleft());
            return result;
        }
        bool ok;
        uint256 size;
        uint256 profit;
        uint256 before = gasleft();
        assembly ("memory-safe") {
            // mutation: F31 step-gas
            ok := call(gasLimit, address(), 0, add(request, 32), mload(request), 0, 32)
            size := returndatasize()
            profit := mload(0)
        }
        result.gasUsed = before - gasleft();
        if (ok) return StepResult({ok: true, profit: profit, gasUsed: result.gasUsed, failure: ""});
        bytes memory failure = new bytes(size < MAX_FAILURE_BYTES ? size : MAX_FAILURE_BYTES);
        assembly ("memory-safe") {
            returndatacopy(add(failure, 32), 0, mload(failure))
        }
        result.failure = failure;
    }

    function _revertWithAll(StepResult[] memory results) private pure {
        bytes[] memory failures = new bytes[](results.length);
        for (uint256 i; i < results.length; ++i) failures[i] = results[i].failure;
        revert NothingWorked(failures);
    }
}
