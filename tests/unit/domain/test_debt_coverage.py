"""How much of a contract's debt the book does not know, and what it is worth."""

import pytest

from keeper.domain.coverage import DebtTotal, sum_uncovered_usd_e8
from keeper.domain.decision import Liquidate
from tests.support.scripted_submission import account, plan


def total(stated, known, *, token_units=(1, 1), usd_e8=(3, 2)):
    return DebtTotal(
        market="aave_v3:1",
        token=account(0),
        symbol="WETH",
        decimals=18,
        stated=stated,
        known=known,
        token_units=token_units,
        usd_e8=usd_e8,
    )


@pytest.mark.parametrize(
    ("stated", "known", "uncovered", "tokens", "dollars"),
    [(7, 7, 0, 0, 0), (7, 4, 3, 1, 2), (4, 7, -3, 1, 2), (8, 4, 4, 2, 3)],
)
def test_what_is_missing_and_what_is_too_much_are_rounded_up(
    stated, known, uncovered, tokens, dollars
):
    """A share that is missing is not nothing; a sum above the total is as wrong as one below."""
    debt = total(stated, known, token_units=(1, 3))

    assert (debt.uncovered, debt.uncovered_tokens) == (uncovered, tokens)
    assert debt.uncovered_usd_e8 == dollars


def test_without_a_price_only_nothing_has_a_worth():
    """An unknown price is not zero, in one total and in the sum of all."""
    unknown = total(7, 4, usd_e8=None)

    assert unknown.uncovered_usd_e8 is None
    assert unknown.stated_usd_e8 is None
    assert total(7, 7, usd_e8=None).uncovered_usd_e8 == 0
    assert sum_uncovered_usd_e8([total(7, 4), unknown]) is None
    assert sum_uncovered_usd_e8([total(7, 4), total(7, 7)]) == 5


def test_the_whole_debt_is_rounded_down():
    """It is what a share of uncovered debt is compared with."""
    assert total(8, 0, token_units=(1, 3)).stated_usd_e8 == 3


def test_a_decision_is_of_its_first_plan_and_has_all_rounds():
    """Later rounds are of the same account."""
    decision = Liquidate(plan=plan(0), further=(plan(0), plan(0)))

    assert (decision.market, decision.account) == (plan(0).market, account(0))
    assert decision.rounds == (plan(0),) * 3
