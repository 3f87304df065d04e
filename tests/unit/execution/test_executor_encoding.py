"""The executor's language: bytes that the contract reads, and words for what it answers."""

from typing import Any

import eth_abi.abi
import pytest
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.abi import load_abi, selector, topic
from keeper.domain.curve import Hop, Route
from keeper.domain.errors import RpcMalformed
from keeper.domain.plan import Funding, FundingKind, Plan, SimulatedPlan
from keeper.domain.reads import Log
from keeper.domain.units import (
    Address,
    BlockHash,
    Gas,
    MarketKey,
    Pips,
    Timestamp,
    TokenUnits,
    TransactionHash,
    Wei,
)
from keeper.execution.executor import (
    FUNDING_FLASH_SWAP,
    LIQUIDATE_SIGNATURE,
    LIQUIDATED_TOPIC,
    STEP_FAILED_TOPIC,
    STEP_TYPE,
    decode_logs,
    decode_results,
    encode_path,
    liquidate_calldata,
)
from keeper.execution.reverts import MAX_REASON, NO_REASON, failure_reason

COLLATERAL, VIA, DEBT = (Address("0x" + digit * 40) for digit in "123")
FACTORY, LENDER, EXECUTOR = (Address("0x" + digit * 40) for digit in "456")


def _hop(token_in: Address, token_out: Address, fee: int) -> Hop:
    return Hop(pool=LENDER, token_in=token_in, token_out=token_out, fee=Pips(fee))


def _plan(*hops: Hop, step_data: bytes = b"\x01" * 96) -> Plan:
    return Plan(
        market=MarketKey("aave_v3:0x"),
        account=VIA,
        spend_token=DEBT,
        receive_token=COLLATERAL,
        amount=TokenUnits(7),
        spend=TokenUnits(7),
        receive=TokenUnits(8),
        route=Route(venue="uniswap_v3", factory=FACTORY, hops=hops),
        funding=Funding(
            kind=FundingKind.FLASH_SWAP,
            source=FUNDING_FLASH_SWAP,
            name="flash_swap",
            lender=LENDER,
            amount=TokenUnits(2**255),
            fee=TokenUnits(0),
        ),
        module=1,
        step_data=step_data,
        gross_profit=TokenUnits(1),
        gross_profit_wei=Wei(1),
        gas=Gas(500_000),
        gas_price=Wei(1),
        net_profit=Wei(1),
        min_profit=TokenUnits(3),
        health_factor=1,
        deadline=Timestamp(9),
    )


def _log(topics: tuple[bytes, ...], data: bytes, address: Address = EXECUTOR) -> Log:
    return Log(
        address=address,
        topics=topics,
        data=data,
        block_number=1,
        block_hash=BlockHash("0x00"),
        transaction_hash=TransactionHash("0x00"),
        index=0,
    )


def _word(value: int) -> bytes:
    return value.to_bytes(32)


def _type_of(item: dict[str, Any]) -> str:
    inner = ",".join(_type_of(component) for component in item.get("components", ()))
    return item["type"].replace("tuple", f"({inner})")


def test_selector_and_topics_are_those_of_the_artifact():
    """A struct that changes in the contract must change here too."""
    entries = {entry["name"]: entry for entry in load_abi("LiquidationExecutor") if "name" in entry}

    def signature(name: str) -> str:
        parts = [_type_of(item) for item in entries[name]["inputs"]]
        return f"{name}({','.join(parts)})"

    assert signature("liquidate") == LIQUIDATE_SIGNATURE
    assert topic(signature("Liquidated")) == LIQUIDATED_TOPIC
    assert topic(signature("StepFailed")) == STEP_FAILED_TOPIC


def test_path_is_packed_in_the_direction_of_the_sale():
    """Twenty bytes, three, twenty, three, twenty."""
    route = Route(
        venue="uniswap_v3",
        factory=FACTORY,
        hops=(_hop(COLLATERAL, VIA, 500), _hop(VIA, DEBT, 3000)),
    )

    assert encode_path(route).hex() == "1" * 40 + "0001f4" + "2" * 40 + "000bb8" + "3" * 40


def test_path_of_the_same_asset_is_empty():
    """Nothing has to be sold."""
    assert encode_path(Route(venue="uniswap_v3", factory=FACTORY, hops=())) == b""


@pytest.mark.parametrize("count", [0, 1, 3])
def test_calldata_equals_the_reference_encoder(count: int):
    """Our own encoder is there for speed; eth-abi says what is right."""
    plans = [_plan(_hop(COLLATERAL, DEBT, 500), step_data=b"\x07" * (95 + i)) for i in range(count)]
    steps = [
        (
            *(1, plan.step_data, DEBT, COLLATERAL, 2, LENDER, 2**255, FACTORY),
            *(encode_path(plan.route), 3, 600_000 + i),
        )
        for i, plan in enumerate(plans)
    ]
    expected = eth_abi.abi.encode([f"{STEP_TYPE}[]", "uint256", "uint16"], [steps, 99, 9000])

    made = liquidate_calldata(plans, [600_000 + i for i in range(count)], 99, 9000)

    assert made == selector(LIQUIDATE_SIGNATURE) + expected


def test_calldata_needs_a_gas_limit_for_each_plan():
    """A missing one must not shift the others."""
    with pytest.raises(ValueError, match="2 plans but 1 gas limits"):
        liquidate_calldata([_plan(), _plan()], [1], 1, 0)


def test_results_tell_profit_from_failure():
    """A step that failed earned nothing, and says why."""
    error = selector("Error(string)") + eth_abi.abi.encode(["string"], ["45"])
    raw = eth_abi.abi.encode(
        ["(bool,uint256,bytes)[]"], [[(True, 5, b""), (False, 0, error), (False, 9, b"")]]
    )

    assert decode_results(raw) == (
        SimulatedPlan(profit=TokenUnits(5)),
        SimulatedPlan(profit=TokenUnits(0), failure="45"),
        SimulatedPlan(profit=TokenUnits(0), failure=NO_REASON),
    )


def test_results_that_are_none_are_malformed():
    """An address without code answers with nothing."""
    with pytest.raises(RpcMalformed):
        decode_results(b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", NO_REASON),
        (b"\x01", "reverted with 0x01"),
        (bytes.fromhex("deadbeef") + bytes(64), "unknown error 0xdeadbeef"),
        (selector("HealthFactorNotBelowThreshold()"), "HealthFactorNotBelowThreshold()"),
        (selector("Panic(uint256)") + _word(17), "Panic(17)"),
        (selector("BelowMinProfit(uint256,uint256)") + _word(4) + _word(5), "BelowMinProfit(4, 5)"),
        (selector("NotItsModule(uint8,uint8)") + _word(4) + _word(1), "NotItsModule(4, 1)"),
        (
            selector("Error(string)") + eth_abi.abi.encode(["string"], ["position is healthy"]),
            "position is healthy",
        ),
        (selector("BelowMinProfit(uint256,uint256)") + _word(4), "BelowMinProfit(malformed)"),
        (selector("Error(string)") + _word(2**255), "Error(malformed)"),
        (
            selector("Error(string)") + _word(32) + _word(2) + b"\xff\xfe" + bytes(30),
            "Error(malformed)",
        ),
        (selector("Error(string)") + eth_abi.abi.encode(["string"], ["a\n\x1b[31mb"]), "a??[31mb"),
    ],
)
def test_f30_reason_of_revert_data(data: bytes, reason: str):
    """Strings, panics, custom errors, nonsense and terminal codes each become one line."""
    assert failure_reason(data) == reason


RESULTS = ("(bool,uint256,uint256,bytes)[]",)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([True, True, True, False]),
            st.integers(0, 2**256 - 1),
            st.integers(0, 2**256 - 1),
            st.sampled_from([b"", b"", b"", b"\x01", b"\x01" * 32, b"\x01" * 33]),
        ),
        max_size=5,
    ),
    st.one_of(st.none(), st.tuples(st.integers(0, 10**6), st.integers(1, 255))),
    st.integers(-33, 33),
)
def test_results_are_decoded_as_the_library_decodes_them(results, changed, length):
    """Whatever shortcut results without a failure take, other bytes give no other values."""
    raw = bytearray(eth_abi.abi.encode(RESULTS, [results]))
    if changed is not None:
        raw[changed[0] % len(raw)] ^= changed[1]
        raw = raw[:length] if length < 0 else raw + bytes(length)

    told = _decoded_or_none(bytes(raw))

    try:
        (expected,) = eth_abi.abi.decode(RESULTS, bytes(raw))
    except (DecodingError, OverflowError, ValueError):
        return  # of the first version, or nothing
    if told is not None and len(told) == len(expected):
        for one, (ok, profit, gas, _) in zip(told, expected, strict=True):
            assert one.profit == (profit if ok else 0)
            assert one.gas_used in (gas, 0)  # the first version reports none
            assert bool(one.failure) == (not ok)


def _decoded_or_none(raw: bytes) -> tuple[SimulatedPlan, ...] | None:
    try:
        return decode_results(raw)
    except RpcMalformed:
        return None


@given(
    st.lists(
        st.tuples(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1)), min_size=1, max_size=40
    )
)
def test_results_without_a_failure_keep_every_figure(figures):
    """Profits and gas of a whole batch that worked, to the last bit."""
    rows = [(True, profit, gas, b"") for profit, gas in figures]

    told = decode_results(eth_abi.abi.encode(RESULTS, [rows]))

    assert [(one.profit, one.gas_used, one.failure) for one in told] == [
        (profit, gas, "") for profit, gas in figures
    ]


def test_reason_lists_why_each_step_failed():
    """A whole batch that fails says so step by step."""
    inner = [selector("IsPaused()"), b"", bytes.fromhex("deadbeef")]
    data = selector("NothingWorked(bytes[])") + eth_abi.abi.encode(["bytes[]"], [inner])

    reason = failure_reason(data)

    assert reason == f"nothing worked: IsPaused(); {NO_REASON}; unknown error 0xdeadbeef"


def test_f30_reason_is_bounded():
    """A hundred thousand letters fill no log."""
    data = selector("Error(string)") + eth_abi.abi.encode(["string"], ["x" * 60_000])

    assert len(failure_reason(data)) == MAX_REASON


@pytest.mark.slow
@given(
    st.sampled_from(
        ["Error(string)", "NothingWorked(bytes[])", "Shortfall(address,uint256,uint256)"]
    ),
    st.lists(st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 200)), max_size=8),
    st.binary(max_size=40),
)
def test_f30_reason_survives_anything(signature: str, words: list[int], rest: bytes):
    """Revert data is written by others: lengths and offsets may point anywhere."""
    reason = failure_reason(selector(signature) + b"".join(map(_word, words)) + rest)

    assert 0 < len(reason) <= MAX_REASON


def test_logs_tell_what_each_step_did():
    """Only the executor's own logs count; anyone can emit the same topics."""
    address = b"\0" * 12
    done = (
        LIQUIDATED_TOPIC,
        _word(0),
        address + bytes.fromhex(DEBT[2:]),
        address + bytes.fromhex(COLLATERAL[2:]),
    )
    amounts = _word(10) + _word(11) + _word(2)
    failed = eth_abi.abi.encode(["bytes"], [selector("IsPaused()")])
    logs = [
        _log(done, amounts, LENDER),
        _log((b"\x01" * 32,), b""),
        _log(done, amounts),
        _log((STEP_FAILED_TOPIC, _word(1)), failed),
    ]

    worked, skipped = decode_logs(logs, EXECUTOR)

    assert (worked.index, worked.spend_token, worked.receive_token) == (0, DEBT, COLLATERAL)
    assert (worked.spent, worked.received, worked.profit) == (10, 11, 2)
    assert (skipped.index, skipped.failure) == (1, "IsPaused()")
