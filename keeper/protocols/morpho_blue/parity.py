"""Compares a position with the contract's own data. No I/O.

Morpho Blue has no view of an account's health. Its stored data is read after ``accrueInterest``
within the same read, and its verdict is the refusal of ``liquidate`` for one unit of collateral. A
healthy position is refused as such before anything is transferred, and the caller of the read has
no loan token to continue. If the node did not keep the accrual between the calls of the read, the
stored totals are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.abi import decoded, selector
from keeper.chain.asking import Answers, ask
from keeper.domain.errors import MarketUnreadable, RpcMalformed
from keeper.domain.parity import Difference
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, MarketKey, Timestamp
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.model import PARAMS_TYPE, Market, Position, State

HEALTHY: Final = "position is healthy"
"""Source: ``ErrorsLib.HEALTHY_POSITION``."""

_ERROR: Final = selector("Error(string)")
_ONE_UNIT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """The book's stored totals, position and verdict at the block."""

    market: Market
    state: State
    position: Position
    liquidatable: bool


def position_calls(morpho: Address, market: Market, account: Address) -> tuple[Call, ...]:
    """Return the audit calls of one position, in their required order."""
    identity, params = bytes.fromhex(market.id[2:]), market.params.values
    liquidate = f"liquidate({PARAMS_TYPE},address,uint256,uint256,bytes)"
    return (
        ask(morpho, f"accrueInterest({PARAMS_TYPE})", params),
        ask(morpho, "market(bytes32)", identity),
        ask(morpho, "position(bytes32,address)", identity, account),
        ask(morpho, liquidate, params, account, _ONE_UNIT, 0, b""),
    )


def differences(
    ours: Ours, account: Address, results: Sequence[CallResult]
) -> tuple[Difference, ...]:
    """Return the differences in the market's totals, the position and the verdict."""
    key, answers = ours.market.key, Answers(results[1:3])
    try:
        totals, position = answers.words(6, "market"), answers.words(3, "position")
    except MarketUnreadable:
        return (_build_difference(key, account, "position", "read", "no answer"),)
    mine = _list_figures(ours, Timestamp(totals[4]))
    theirs = (*totals[:4], *position[1:])
    found = [
        _build_difference(key, account, name, str(figure), str(told))
        for (name, figure), told in zip(mine.items(), theirs, strict=True)
        if figure != told
    ]
    verdict = verdict_of(results[3])
    if verdict is not None and verdict is not ours.liquidatable:
        words = {True: "yes", False: "no"}
        told = words[verdict]
        found.append(
            _build_difference(key, account, "liquidatable", words[ours.liquidatable], told)
        )
    return tuple(found)


def verdict_of(answer: CallResult) -> bool | None:
    """Return whether the contract allows the liquidation. None if it does not answer."""
    if answer.success:
        return True
    if not answer.data:
        return None
    try:
        is_text = answer.data[:4] == _ERROR
        return not (is_text and decoded(("string",), answer.data[4:])[0] == HEALTHY)
    except RpcMalformed:
        return True


def _list_figures(ours: Ours, moment: Timestamp) -> dict[str, int]:
    """Return the book's figures in the contract's order, with interest up to ``moment``."""
    state = rules.accrued(ours.state, ours.market.irm, moment)
    return {
        "supply_assets": state.supply_assets,
        "supply_shares": state.supply_shares,
        "borrow_assets": state.borrow_assets,
        "borrow_shares": state.borrow_shares,
        "account_borrow_shares": ours.position.borrow_shares,
        "account_collateral": ours.position.collateral,
    }


def _build_difference(
    market: MarketKey, account: Address, what: str, ours: str, theirs: str
) -> Difference:
    return Difference(market=market, account=account, what=what, ours=ours, theirs=theirs)
