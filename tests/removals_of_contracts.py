"""What is taken away of the executor; its artifacts are built anew in the copy."""

from tests.support.removal import Mutation

EXECUTOR = "tests/chain/test_executor.py"
HOSTILE = "tests/chain/test_executor_hostile.py"
TOKEN = "contracts/src/libraries/SafeToken.sol"

CONTRACTS = (
    Mutation(
        guarantee="G18",
        what="the executor takes whatever profit there is",
        file="contracts/src/Proceeds.sol",
        old="        if (profit < job.step.minProfit) revert",
        new="        if (profit == type(uint256).max) revert",
        tests=(f"{EXECUTOR}::test_f33_a_sandwich_cannot_take_more_than_the_minimum_allows",),
    ),
    Mutation(
        guarantee="G35",
        what="a callback is taken from whoever calls",
        file="contracts/src/Flow.sol",
        old="            revert UnexpectedCallback(msg.sender);\n",
        new="",
        tests=(f"{EXECUTOR}::test_callbacks_that_nobody_waits_for_are_refused",),
    ),
    Mutation(
        guarantee="G35",
        what="anybody may liquidate with the executor",
        file="contracts/src/Access.sol",
        old="        if (!isOperator[msg.sender]) revert NotOperator(msg.sender);\n",
        new="",
        tests=(f"{EXECUTOR}::test_operators_may_only_liquidate_and_only_they",),
    ),
    Mutation(
        guarantee="G10",
        what="the executor does not look at the deadline",
        file="contracts/src/LiquidationExecutor.sol",
        old="        if (block.timestamp > deadline) revert",
        new="        if (deadline == type(uint256).max) revert",
        tests=(f"{EXECUTOR}::test_nothing_happens_after_the_deadline",),
    ),
    Mutation(
        guarantee="F28",
        what="a token that returns false has done what it was told",
        file=TOKEN,
        old="and(gt(returndatasize(), 31), eq(mload(0), 1))",
        new="gt(returndatasize(), 31)",
        tests=(f"{HOSTILE}::test_f31_bad_tokens_fail_alone_and_within_the_gas_limit",),
    ),
    Mutation(
        guarantee="F29",
        what="what a spender did not use of an allowance is left to it",
        file=TOKEN,
        old="        if (left != 0) disallow(token, spender);\n",
        new="",
        tests=(f"{HOSTILE}::test_what_the_pool_does_not_use_is_taken_back_whoever_lends",),
    ),
    Mutation(
        guarantee="F31",
        what="a step has all the gas that there is",
        file="contracts/src/LiquidationExecutor.sol",
        old="            ok := call(gasLimit, address(), 0,",
        new="            ok := call(gas(), address(), 0,",
        tests=(f"{EXECUTOR}::test_f31_a_step_that_needs_more_than_its_gas_limit_fails_alone",),
    ),
)
