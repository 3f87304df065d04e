"""Calldata, results and logs of the executor contract. Pure.

Source: ``contracts/src/LiquidationExecutor.sol``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.abi import (
    ABI_FOLDER,
    WORD,
    address_at,
    decoded,
    encoded,
    selector,
    topic,
    word,
)
from keeper.domain.curve import Route
from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.plan import Plan, SimulatedPlan
from keeper.domain.reads import Log
from keeper.domain.submission import NO_LOG
from keeper.domain.units import BPS, Address, Gas, TokenUnits
from keeper.execution.reverts import failure_reason

FUNDING_AAVE_V3_FLASH_LOAN: Final = 1
FUNDING_FLASH_SWAP: Final = 2
FUNDING_UNISWAP_V3_FLASH: Final = 3
FUNDING_MORPHO_CALLBACK: Final = 4
"""Morpho is repaid after the sale. For its own module only, without borrowing."""
FUNDING_MORPHO_FLASH_LOAN: Final = 5

ARTIFACT: Final = "LiquidationExecutor"
"""The build for chains with transient storage."""
ARTIFACT_STORAGE: Final = "LiquidationExecutorStorage"
"""The build for chains without it."""

STEP_TYPE: Final = (
    "(uint8,bytes,address,address,uint8,address,uint256,address,bytes,uint256,uint256)"
)
LIQUIDATE_SIGNATURE: Final = f"liquidate({STEP_TYPE}[],uint256,uint16)"
LIQUIDATED_TOPIC: Final = topic("Liquidated(uint256,address,address,uint256,uint256,uint256)")
STEP_FAILED_TOPIC: Final = topic("StepFailed(uint256,bytes)")

_NOTHING: Final = TokenUnits(0)
_LIQUIDATE: Final = selector(LIQUIDATE_SIGNATURE)
_STEP_WORDS: Final = 11
_FIRST_WORDS: Final = 3
_CLEAN_WORDS: Final = 5
_WORKED: Final = (1).to_bytes(WORD)
_NO_FAILURE: Final = (4 * WORD).to_bytes(WORD) + bytes(WORD)
"""The offset of an empty failure, and its length."""
_FEE_BYTES: Final = 3
_INDEXED_ADDRESS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Outcome of one step of a mined batch, from its logs. ``index`` is its place in the batch.

    The amounts are differences of the executor's balances. ``profit`` is the receiver's amount of
    the spend token. ``failure`` is empty if the step succeeded. Otherwise all other amounts are
    zero or None.
    """

    index: int
    spend_token: Address | None = None
    receive_token: Address | None = None
    spent: TokenUnits = _NOTHING
    received: TokenUnits = _NOTHING
    profit: TokenUnits = _NOTHING
    failure: str = ""
    log_index: int = NO_LOG


def encode_path(route: Route) -> bytes:
    """Encode the route for the executor, token, fee, token, and so on. Empty without hops."""
    if not route.hops:
        return b""
    packed = b"".join(
        _encode_address(hop.token_in) + hop.fee.to_bytes(_FEE_BYTES) for hop in route.hops
    )
    return packed + _encode_address(route.hops[-1].token_out)


def liquidate_calldata(
    plans: Sequence[Plan], step_gas: Sequence[int], deadline: int, builder_share_bps: int
) -> bytes:
    """Encode the transaction's data. ``step_gas`` is each step's gas limit, in the plans' order.

    The route's factory verifies the pools of the route. Where a Uniswap v3 pool lends, it verifies
    that pool too, even if the route has no hops.

    Raises:
        ValueError: not one gas limit per plan.
        OverflowError: a number does not fit its word.
    """
    if len(plans) != len(step_gas):
        raise ValueError(f"{len(plans)} plans but {len(step_gas)} gas limits")
    steps = [_encode_step(plan, gas) for plan, gas in zip(plans, step_gas, strict=True)]
    offsets, at = list[bytes](), len(steps) * WORD
    for step in steps:
        offsets.append(_encode_uint(at))
        at += len(step)
    head = _encode_uint(3 * WORD) + _encode_uint(deadline) + _encode_uint(builder_share_bps)
    return b"".join([_LIQUIDATE, head, _encode_uint(len(steps)), *offsets, *steps])


def decode_results(data: bytes) -> tuple[SimulatedPlan, ...]:
    """Decode the return value of ``liquidate``, one result per plan, in order.

    Raises:
        RpcMalformed: it is not a result of the executor.
    """
    clean = _decode_clean(data)
    if clean is not None:
        return clean
    if _is_first_version(data):
        (plain,) = decoded(("(bool,uint256,bytes)[]",), data, "the executor's result")
        results = [(ok, profit, 0, failure) for ok, profit, failure in plain]
    else:
        (results,) = decoded(("(bool,uint256,uint256,bytes)[]",), data, "the executor's result")
    return tuple(
        SimulatedPlan(
            profit=TokenUnits(profit if ok else 0),
            gas_used=Gas(gas),
            failure="" if ok else failure_reason(failure),
        )
        for ok, profit, gas, failure in results
    )


def _decode_clean(data: bytes) -> tuple[SimulatedPlan, ...] | None:
    """Decode results without a failure by their fixed layout. None for any other bytes.

    A send waits for it, and many plans are simulated again behind others.
    """
    count, rest = divmod(len(data) - 2 * WORD, (1 + _CLEAN_WORDS) * WORD)
    if rest or count < 1:
        return None
    size = _CLEAN_WORDS * WORD
    offsets = (_encode_uint(count * WORD + place * size) for place in range(count))
    head = b"".join([_encode_uint(WORD), _encode_uint(count), *offsets])
    if not data.startswith(head):
        return None
    results = [data[at : at + size] for at in range(len(head), len(data), size)]
    if not all(one.startswith(_WORKED) and one.endswith(_NO_FAILURE) for one in results):
        return None
    return tuple(
        SimulatedPlan(profit=TokenUnits(word(one, 1)), gas_used=Gas(word(one, 2)), failure="")
        for one in results
    )


def _is_first_version(data: bytes) -> bool:
    """Return whether results are those of version 1, which report no gas.

    The two versions differ in the offset of the first result's failure: the length of the words
    before it, three or four of them.
    """
    count, first = word(data, 1), word(data, 2)
    if count == 0:
        return False
    third = 2 * WORD + first + 2 * WORD
    return len(data) >= third + WORD and word(data[third : third + WORD], 0) == _FIRST_WORDS * WORD


def decode_logs(logs: Sequence[Log], executor: Address) -> tuple[StepReport, ...]:
    """Decode each step's outcome from the executor's logs, in the order of the logs.

    Logs of other contracts are ignored, whatever their topics.

    Raises:
        RpcMalformed: a log of the executor has an unknown form.
    """
    reports = list[StepReport]()
    for log in logs:
        if log.address != executor or not log.topics:
            continue
        if log.topics[0] == LIQUIDATED_TOPIC:
            reports.append(_decode_liquidated(log))
        elif log.topics[0] == STEP_FAILED_TOPIC:
            (reason,) = decoded(("bytes",), log.data, "the executor's log")
            index = word(b"".join(log.topics), 1)
            reports.append(
                StepReport(index=index, failure=failure_reason(reason), log_index=log.index)
            )
    return tuple(reports)


def creation_code(
    *,
    owner: Address,
    receiver: Address,
    operators: Sequence[Address],
    lending_pools: Sequence[Address],
    factories: Sequence[Address],
    wrapped_native: Address,
    max_builder_share_bps: int = BPS,
    min_sale_bps: int = 0,
    artifact: str = ARTIFACT,
) -> bytes:
    """Encode the data of the transaction that deploys the executor.

    ``max_builder_share_bps`` caps the share of the profit that an operator may pay to the block's
    builder. ``min_sale_bps`` is the least proceeds of a sale relative to the protocol's own
    valuation. 0: no such floor.

    Raises:
        EnvironmentFault: the artifact is missing or broken.
    """
    try:
        text = (ABI_FOLDER / f"{artifact}.json").read_text(encoding="utf-8")
        code = bytes.fromhex(str(json.loads(text)["bytecode"]).removeprefix("0x"))
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault(f"the artifact of {artifact} is missing or broken") from None
    addresses = ("address", "address", "address[]", "address[]", "address[]", "address")
    lists = (list(operators), list(lending_pools), list(factories))
    limits = (max_builder_share_bps, min_sale_bps)
    return code + encoded(
        (*addresses, "(uint16,uint16)"), (owner, receiver, *lists, wrapped_native, limits)
    )


def _encode_step(plan: Plan, gas_limit: int) -> bytes:
    """Encode one Step, eleven words, two of which are offsets of the bytes behind them."""
    data, path = _encode_tail(plan.step_data), _encode_tail(encode_path(plan.route))
    return b"".join(
        [
            _encode_uint(plan.module),
            _encode_uint(_STEP_WORDS * WORD),
            _encode_address_word(plan.spend_token),
            _encode_address_word(plan.receive_token),
            _encode_uint(plan.funding.source),
            _encode_address_word(plan.funding.lender),
            _encode_uint(plan.funding.amount),
            _encode_address_word(plan.route.factory),
            _encode_uint(_STEP_WORDS * WORD + len(data)),
            _encode_uint(plan.min_profit),
            _encode_uint(gas_limit),
            data,
            path,
        ]
    )


def _decode_liquidated(log: Log) -> StepReport:
    if len(log.topics) != _INDEXED_ADDRESS:
        raise RpcMalformed("the executor's log has the wrong number of topics")
    topics = b"".join(log.topics)
    return StepReport(
        index=word(topics, 1),
        spend_token=address_at(topics, 2),
        receive_token=address_at(topics, 3),
        spent=TokenUnits(word(log.data, 0)),
        received=TokenUnits(word(log.data, 1)),
        profit=TokenUnits(word(log.data, 2)),
        log_index=log.index,
    )


def _encode_uint(value: int) -> bytes:
    return value.to_bytes(WORD)


def _encode_address(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def _encode_address_word(address: Address) -> bytes:
    return _encode_address(address).rjust(WORD, b"\0")


def _encode_tail(data: bytes) -> bytes:
    return _encode_uint(len(data)) + data + bytes(-len(data) % WORD)
