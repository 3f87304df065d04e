"""Calldata, reads and logs of the vault contract. Pure.

Source: ``contracts/src/CureVault.sol``.
"""

import json
from collections.abc import Sequence
from typing import Final

from keeper.chain.abi import ABI_FOLDER, WORD, address_at, calldata, encoded, selector, topic, word
from keeper.domain.cure import ClearOrder, CureOrder, Funds
from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.plan import Plan
from keeper.domain.reads import Call, CallResult, Log
from keeper.domain.submission import PlanOutcome
from keeper.domain.units import WAD, Address, Timestamp, TokenUnits, Wad, Wei, mul_div_ceil

ARTIFACT: Final = "CureVault"
"""The build for chains with transient storage."""
ARTIFACT_STORAGE: Final = "CureVaultStorage"
"""The build for chains without it."""

CURE_TYPE: Final = "(uint8,bytes,address,uint256,uint256,uint256)"
CURE_SIGNATURE: Final = f"cure({CURE_TYPE})"
CURED_TOPIC: Final = topic("Cured(bytes32,address,address,uint8,uint256,uint256,uint256)")
CLEAR_TYPE: Final = "(uint8,bytes,address,uint256,address,uint256,uint256)"
CLEAR_SIGNATURE: Final = f"clear({CLEAR_TYPE})"
CLEARED_TOPIC: Final = topic("Cleared(bytes32,address,address,address,uint256,uint256,uint256)")
NOT_CURED: Final = "the vault did not report it"

_TOPICS: Final = 4
_LOSS_WORD: Final = 3
FUNDS_CALLS: Final = 4
"""How many calls ``funds_calls`` makes."""


def cure_calldata(order: CureOrder, least_health: Wad, deadline: Timestamp) -> bytes:
    """Encode a cure. The account must have ``least_health`` afterwards."""
    values = (
        order.step.kind,
        order.step.data,
        order.cure.token,
        order.cure.amount,
        least_health,
        deadline,
    )
    return selector(CURE_SIGNATURE) + encoded((CURE_TYPE,), (values,))


def clear_calldata(order: ClearOrder, most: int, deadline: Timestamp) -> bytes:
    """Encode a clearing. The vault may lose ``most`` in the place's base currency."""
    values = (
        order.step.kind,
        order.step.data,
        order.token,
        order.amount,
        order.collateral,
        most,
        deadline,
    )
    return selector(CLEAR_SIGNATURE) + encoded((CLEAR_TYPE,), (values,))


def cleared_of(data: bytes) -> tuple[TokenUnits, int]:
    """Decode the amount that ``clear`` spent, and its loss in the place's base currency.

    Raises:
        RpcMalformed: it is not an answer of the vault.
    """
    if len(data) < 3 * WORD:
        raise RpcMalformed("the vault's answer is too short")
    return TokenUnits(word(data, 0)), word(data, 2)


def funds_calls(vault: Address, account: Address, token: Address) -> list[Call]:
    """Build the reads of the vault's funds of a token for an account."""
    return [
        Call(target=token, data=calldata("balanceOf(address)", vault)),
        Call(target=vault, data=calldata("limitOf(address)", token)),
        Call(target=vault, data=calldata("leftToday(address)", token)),
        Call(target=vault, data=calldata("leftTodayFor(address,address)", account, token)),
    ]


def funds_of(results: Sequence[CallResult]) -> Funds:
    """Decode the funds from the answers to ``funds_calls``. A failed read counts as 0."""
    found = [word(one.data, 0) if one.success and len(one.data) >= WORD else 0 for one in results]
    balance, each, today, account = found[:FUNDS_CALLS]
    return Funds(
        balance=TokenUnits(balance),
        per_transaction=TokenUnits(each),
        left_today=TokenUnits(today),
        left_for_account=TokenUnits(account),
    )


def loss_calls(vault: Address, place: bytes, collaterals: Sequence[Address]) -> list[Call]:
    """Build the reads of a place's loss limits, today's remainder, and each collateral's share."""
    limits = [
        selector(f"{name}(bytes32)") + encoded(("bytes32",), (place,))
        for name in ("lossLimitOf", "lossLeftToday")
    ]
    shares = [
        selector("countedOf(bytes32,address)") + encoded(("bytes32", "address"), (place, one))
        for one in collaterals
    ]
    return [Call(target=vault, data=one) for one in (*limits, *shares)]


def listing_call(vault: Address, place: bytes, account: Address) -> Call:
    """Build the read of an account's listing in a place."""
    data = selector("listingOf(bytes32,address)") + encoded(
        ("bytes32", "address"), (place, account)
    )
    return Call(target=vault, data=data)


def listing_of(result: CallResult) -> tuple[Wad, Wad]:
    """Decode the health factor below which cures are allowed, and the target. 0 if not listed."""
    if not result.success or len(result.data) < 2 * WORD:
        return Wad(0), Wad(0)
    return Wad(word(result.data, 0)), Wad(word(result.data, 1))


def cure_outcome(plan: Plan, logs: Sequence[Log], vault: Address) -> PlanOutcome:
    """Build a cure's outcome from the vault's own logs. It earns nothing.

    Raises:
        RpcMalformed: a log of the vault has an unknown form.
    """
    logged = _select_logs(plan, logs, vault, CURED_TOPIC)
    return _build_outcome(plan, Wei(0), "" if logged else NOT_CURED)


def clear_outcome(plan: Plan, logs: Sequence[Log], vault: Address) -> PlanOutcome:
    """Build a clearing's outcome from the vault's own logs, the loss at the plan's prices.

    Raises:
        RpcMalformed: a log of the vault has an unknown form.
    """
    logged = _select_logs(plan, logs, vault, CLEARED_TOPIC)
    if not logged:
        return _build_outcome(plan, Wei(0), NOT_CURED)
    if len(logged[0].data) < (_LOSS_WORD + 1) * WORD:
        raise RpcMalformed("the vault's log is too short")
    loss = word(logged[0].data, _LOSS_WORD)
    native = plan.native_base or plan.native_usd_e8
    worth = mul_div_ceil(loss, WAD, native) if native else 0
    return _build_outcome(plan, Wei(-worth), "")


def _select_logs(plan: Plan, logs: Sequence[Log], vault: Address, kind: object) -> list[Log]:
    """Return the vault's logs of a kind for the plan."""
    found = []
    for log in logs:
        if log.address != vault or not log.topics or log.topics[0] != kind:
            continue
        if len(log.topics) != _TOPICS:
            raise RpcMalformed("the vault's log has the wrong number of topics")
        topics = b"".join(log.topics)
        if (address_at(topics, 2), address_at(topics, 3)) == (plan.account, plan.spend_token):
            found.append(log)
    return found


def _build_outcome(plan: Plan, profit: Wei, failure: str) -> PlanOutcome:
    return PlanOutcome(
        market=plan.market,
        account=plan.account,
        token=plan.spend_token,
        profit=TokenUnits(0),
        profit_wei=profit,
        failure=failure,
    )


def creation_code(
    *, owner: Address, operators: Sequence[Address], artifact: str = ARTIFACT
) -> bytes:
    """Encode the vault's deployment. EnvironmentFault if the artifact is missing or broken."""
    try:
        text = (ABI_FOLDER / f"{artifact}.json").read_text(encoding="utf-8")
        code = bytes.fromhex(str(json.loads(text)["bytecode"]).removeprefix("0x"))
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault(f"the artifact of {artifact} is missing or broken") from None
    return code + encoded(("address", "address[]"), (owner, list(operators)))
