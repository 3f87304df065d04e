"""Compares an account with ``Pool.getUserAccountData``. No I/O."""

from collections.abc import Sequence

from keeper.chain.asking import Answers, ask
from keeper.domain.parity import Difference
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, MarketKey
from keeper.protocols.aave_v3.rules import AccountData

HEALTH_FACTOR_WORD = 5


def account_data_calls(pool: Address, account: Address) -> tuple[Call, ...]:
    """Return the call for the pool's own valuation of an account."""
    return (ask(pool, "getUserAccountData(address)", account),)


def differences(
    market: MarketKey, account: Address, ours: AccountData, results: Sequence[CallResult]
) -> tuple[Difference, ...]:
    """Return the differences in collateral, debt and health factor."""
    mine = {
        "collateral_base": ours.collateral,
        "debt_base": ours.debt,
        "health_factor": ours.health_factor,
    }
    told = {
        name: Answers(results).maybe_integer(at)
        for name, at in zip(mine, (0, 1, HEALTH_FACTOR_WORD), strict=True)
    }
    return tuple(
        Difference(
            market=market,
            account=account,
            what=name,
            ours=str(figure),
            theirs="no answer" if told[name] is None else str(told[name]),
        )
        for name, figure in mine.items()
        if told[name] != figure
    )
