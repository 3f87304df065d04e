"""What is taken away of the executor; its artifacts are built anew in the copy."""

from tests.support.removal import NEVER, Delete, Mutation, Write

CONTRACTS = (
    Mutation(
        guarantee="G18",
        what="the executor takes whatever profit there is",
        changes={"G18 minimum-profit": NEVER},
        tests=("test_f33_a_sandwich_cannot_take_more_than_the_minimum_allows",),
    ),
    Mutation(
        guarantee="G35",
        what="a callback is taken from whoever calls",
        changes={"G35 callback": Delete()},
        tests=("test_callbacks_that_nobody_waits_for_are_refused",),
    ),
    Mutation(
        guarantee="G35",
        what="anybody may liquidate with the executor",
        changes={"G35 operator": Delete()},
        tests=("test_operators_may_only_liquidate_and_only_they",),
    ),
    Mutation(
        guarantee="G10",
        what="the executor does not look at the deadline",
        changes={"G10 deadline": NEVER},
        tests=("test_nothing_happens_after_the_deadline",),
    ),
    Mutation(
        guarantee="F28",
        what="a token that returns false has done what it was told",
        changes={
            "F28 token-answer": Write(
                r"and\((gt\(returndatasize\(\), 31\)), eq\(mload\(0\), 1\)\)", r"\1"
            )
        },
        tests=("test_f31_bad_tokens_fail_alone_and_within_the_gas_limit",),
    ),
    Mutation(
        guarantee="F29",
        what="what a spender did not use of an allowance is left to it",
        changes={"F29 allowance-left": Delete()},
        tests=("test_what_the_pool_does_not_use_is_taken_back_whoever_lends",),
    ),
    Mutation(
        guarantee="F31",
        what="a step has all the gas that there is",
        changes={"F31 step-gas": Write(r"call\(\w+,", "call(gas(),")},
        tests=("test_f31_a_step_that_needs_more_than_its_gas_limit_fails_alone",),
    ),
)
