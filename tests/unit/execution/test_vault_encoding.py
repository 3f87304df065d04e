"""The vault's language against its ABI."""

import pytest
from web3 import Web3

from keeper.chain.abi import load_abi, word
from keeper.domain.advice import Advice, Cure, CureKind
from keeper.domain.cure import (
    ClearOrder,
    ClearStep,
    CureOrder,
    CureReason,
    CureRefusal,
    CureStep,
    Funds,
    affordable,
)
from keeper.domain.errors import RpcMalformed
from keeper.domain.plan import FundingKind
from keeper.domain.reads import CallResult, Log
from keeper.execution import vault
from keeper.execution.described import described
from keeper.execution.fees import FeePolicy, fee_cap, plan_profit, plan_surplus
from keeper.execution.results import plan_outcomes
from keeper.storage.documents import plan_document, plan_from
from tests.support.scripted_submission import batch, plan
from tests.unit.protocols.aave_builders import address

TOKEN, ALICE = address(7), address(8)


def cure(amount=10, token=TOKEN):
    return Cure(
        kind=CureKind.REPAY_DEBT, token=token, symbol="T", decimals=6, amount=amount, value=amount
    )


def order():
    return CureOrder(
        market="m:1",
        account=ALICE,
        tier="urgent",
        episode=3,
        target=2,
        cure=cure(),
        step=CureStep(place=bytes(32), kind=2, data=b"\x01\x02"),
    )


def test_the_calldata_is_what_the_abi_says():
    """Every field in its place."""
    contract = Web3().eth.contract(abi=load_abi("CureVault"))

    function, arguments = contract.decode_function_input(vault.cure_calldata(order(), 5, 99))

    assert function.fn_name == "cure"
    assert list(dict(arguments["wanted"]).values()) == [
        2,
        b"\x01\x02",
        Web3.to_checksum_address(TOKEN),
        10,
        5,
        99,
    ]


def test_a_recorded_cure_is_told_by_its_names():
    """What is in the journal can be read by a person."""
    told = described(vault.cure_calldata(order(), 5, 99))

    assert told["function"] == "cure"
    assert told["arguments"]["wanted"]["minHealth"] == "5"


def test_a_failed_read_is_no_money():
    """A token or a vault that does not answer has nothing to give."""
    answers = [CallResult(success=True, data=(5).to_bytes(32))] * 3
    answers.append(CallResult(success=False, data=b""))

    assert vault.funds_of(answers).most == 0
    assert vault.listing_of(CallResult(success=False, data=b"")) == (0, 0)
    call = vault.listing_call(TOKEN, bytes(32), ALICE)
    assert word(call.data[4:], 1) == 8


def test_the_cheapest_that_can_be_paid_is_chosen():
    """Whole or not at all; what is missing is told with the numbers."""
    advice = Advice(target=1, holds_until=1, cures=(cure(10), cure(20, ALICE)))
    little = Funds(balance=9, per_transaction=99, left_today=99, left_for_account=99)
    enough = Funds(balance=99, per_transaction=20, left_today=99, left_for_account=20)

    assert affordable(advice, {TOKEN: enough, ALICE: enough}) == advice.cures[0]
    assert affordable(advice, {TOKEN: little, ALICE: enough}) == advice.cures[1]
    refused = affordable(advice, {TOKEN: little})
    assert isinstance(refused, CureRefusal)
    assert refused.reason is CureReason.NO_MONEY
    assert "10 units of T needed, 9 to be had" in refused.detail


def a_cure(kind=FundingKind.VAULT, **changes):
    one = plan(0)
    funding = type(one.funding)(
        **{name: getattr(one.funding, name) for name in one.funding.__slots__} | {"kind": kind}
    )
    facts = {"funding": funding, "gross_profit": 0, "gross_profit_wei": 0, "subsidy": 1_000_000}
    return plan(0, **facts | changes)


def test_a_subsidy_is_what_the_gas_may_cost():
    """At the expected gas and a tenth more; without one nothing that earns nothing is sent."""
    one = a_cure(episode=4)

    assert plan_surplus(one) == 1_000_000
    assert fee_cap(batch(one), FeePolicy()) == 1_000_000 // (one.gas * 11 // 10)
    assert fee_cap(batch(a_cure(subsidy=0)), FeePolicy()) == 0
    assert plan_from(plan_document(one)) == one


def test_what_publishing_costs_comes_out_of_the_subsidy():
    """A plan loses no more than it may, whether it earns nothing or too little."""
    nothing = a_cure(subsidy=100, data_fee=30)
    terms = {"min_profit": 10, "least_net": 0, "subsidy": 100, "data_fee": 30}
    little = plan(0, gross_profit=10, gross_profit_wei=10, **terms)

    assert (plan_surplus(nothing), plan_profit(nothing)) == (70, 70)
    assert (plan_surplus(little), plan_profit(little)) == (80, 80)


def test_a_cure_that_the_vault_did_not_report_failed():
    """Its logs are the vault's only."""
    (outcome,) = plan_outcomes(batch(a_cure()), [])

    assert outcome.failure == vault.NOT_CURED
    assert outcome.profit_wei == 0


def test_the_calldata_of_a_clearing_is_what_the_abi_says():
    """Every field in its place."""
    asked = ClearOrder(
        market="m:1",
        account=ALICE,
        token=TOKEN,
        amount=10,
        collateral=ALICE,
        step=ClearStep(place=bytes(32), kind=5, data=b"\x01"),
    )
    contract = Web3().eth.contract(abi=load_abi("CureVault"))

    function, arguments = contract.decode_function_input(vault.clear_calldata(asked, 6, 99))

    assert function.fn_name == "clear"
    token, collateral = (Web3.to_checksum_address(one) for one in (TOKEN, ALICE))
    assert list(dict(arguments["wanted"]).values()) == [5, b"\x01", token, 10, collateral, 6, 99]


def cleared_log(one, data):
    words = [bytes(32), *(bytes(12) + bytes.fromhex(it[2:]) for it in (one.account, TOKEN))]
    log_facts = dict.fromkeys(Log.__slots__, 0)
    topics = (vault.CLEARED_TOPIC, *words)
    return Log(**log_facts | {"address": batch(one).executor, "topics": topics, "data": data})


def test_a_clearing_tells_its_loss():
    """At the plan's price of the native coin, rounded up; without a log of the vault it failed."""
    one = a_cure(FundingKind.CLEARANCE, spend_token=TOKEN, native_usd_e8=3 * 10**8)
    data = b"".join(word_.to_bytes(32) for word_ in (8, 7, 6, 100))

    (outcome,) = plan_outcomes(batch(one), [cleared_log(one, data)])

    assert (outcome.failure, outcome.profit_wei) == ("", -333_333_333_334)
    assert plan_outcomes(batch(one), [])[0].failure == vault.NOT_CURED
    with pytest.raises(RpcMalformed):
        plan_outcomes(batch(one), [cleared_log(one, data[:-32])])
