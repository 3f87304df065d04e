"""An account as ``Pool.getUserAccountData`` states it, held against ours; no I/O."""

from collections.abc import Sequence

from keeper.chain.asking import Answers, ask
from keeper.domain.parity import Difference
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, MarketKey
from keeper.protocols.aave_v3.rules import AccountData

HEALTH_FACTOR_WORD = 5


def account_data_calls(pool: Address, account: Address) -> tuple[Call, ...]:
    """Return the pool's own valuation of an account, at the read's timestamp."""
    return (ask(pool, "getUserAccountData(address)", account),)


def differences(
    market: MarketKey, account: Address, ours: AccountData, results: Sequence[CallResult]
) -> tuple[Difference, ...]:
    """Return what of the collateral, the debt and the health factor the pool states otherwise."""
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
