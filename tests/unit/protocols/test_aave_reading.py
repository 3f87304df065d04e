"""Decoding of answers, and accounts that are not (wholly) known."""

import dataclasses

import pytest

from keeper.chain.abi import encoded
from keeper.chain.asking import Answers, symbol_of
from keeper.domain.errors import MarketUnreadable
from keeper.domain.head import Head
from keeper.domain.reads import CallResult, Log
from keeper.protocols.aave_v3 import events, reader
from keeper.protocols.aave_v3.adapter import AaveMarket, Options
from keeper.protocols.aave_v3.model import Account, Holding
from tests.unit.protocols import aave_builders as build

TOKEN = build.address(9)


@pytest.mark.parametrize(
    ("answer", "symbol"),
    [
        (encoded(("string",), ("WETH",)), "WETH"),
        (b"MKR".ljust(32, b"\0"), "MKR"),
        (encoded(("string",), ("A\x1b[31mB\n",)), "A?31mB"),
        (encoded(("string",), ("[pay](http://e.io)",)), "?pay??http?//e?io?"),
        (encoded(("string",), ("@here <b> USDC.e",)), "?here ?b? USDC.e"),
        (b"", TOKEN[:10]),
    ],
)
def test_symbols_of_all_kinds_are_tolerated(answer, symbol):
    """Old tokens answer 32 bytes, some nothing, and hostile ones control characters."""
    assert symbol_of(CallResult(success=True, data=answer), TOKEN) == symbol


def test_a_silent_contract_makes_the_market_unreadable():
    """A failed balance must not be taken for zero."""
    answers = Answers([CallResult(success=False, data=b"")])

    with pytest.raises(MarketUnreadable):
        answers.integer("the aToken of WETH")


def test_a_dropped_reserve_is_passed_over():
    """The pool skips a flag whose place in its list is empty; so does the valuation."""
    plain, flagged = build.account(), build.account()
    flagged = dataclasses.replace(flagged, flags=flagged.flags | 0b11 << 10)
    first = build.snapshot(None, **{build.BORROWER: plain}).account(build.BORROWER)
    second = build.snapshot(None, **{build.BORROWER: flagged}).account(build.BORROWER)

    assert first == second


def test_a_balance_that_was_not_read_is_not_taken_for_zero():
    """The account is set aside for a block, never liquidated on half of its balances."""
    partly = Account(0b10 | 0b01 << 2, 0, {1: Holding(0, 10**9)})
    taken = build.snapshot(None, **{build.BORROWER: partly})

    assert taken.account(build.BORROWER).unpriced == "the balance of WETH"
    found, refusals = taken.opportunities(build.BORROWER, build.WINDOW)
    assert not found
    assert refusals


def test_an_emodes_own_price_fails_the_whole_account():
    """Up to 3.1 the pool asks for it even where no asset of the account is in the category."""
    failing = build.emode(has_price=True, price=None)
    outside = {build.BORROWER: build.account(category=1)}

    assert (
        build.snapshot(build.pool(1, categories=[failing]), **outside)
        .account(build.BORROWER)
        .unpriced
    )
    priced = dataclasses.replace(failing, price=10**8)
    assert (
        not build.snapshot(build.pool(1, categories=[priced]), **outside)
        .account(build.BORROWER)
        .unpriced
    )


def test_an_unread_flag_is_told():
    """The caller reads such an account again, wholly."""
    structure = build.pool().structure

    account, complete = reader.account_of((0b10 | 0b01 << 2, 0), {1: Holding(0, 5)}, structure)

    assert not complete
    assert set(account.holdings) == {1}


def market():
    made = AaveMarket(build.address(1), 0, None)
    made.known_structure = build.pool().structure
    build.write(made, {build.BORROWER: build.account()})
    return made


def head(number):
    return Head(
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp=build.NOW,
        base_fee=1,
        gas_limit=1,
        gas_used=1,
    )


def transfer(to):
    return Log(
        address=build.address(200),
        topics=(events.TRANSFER, bytes(32), bytes.fromhex(to[2:]).rjust(32, b"\0")),
        data=b"",
        block_number=1,
        block_hash="0x",
        transaction_hash="0x",
        index=0,
    )


def test_a_quiet_block_costs_the_same_whoever_moved_elsewhere():
    """Transfers between accounts that never borrowed add no reads."""
    made = market()
    quiet = len(made.calls(head(1)))
    made.note([transfer(build.address(77))])

    assert len(made.calls(head(2))) == quiet

    made.note([transfer(build.BORROWER)])

    assert len(made.calls(head(3))) > quiet


def test_what_was_noted_stays_noted_until_it_was_read():
    """A failed apply forgets nothing."""
    made = market()
    made.note([transfer(build.BORROWER)])
    asked = made.calls(head(1))

    with pytest.raises(MarketUnreadable):
        made.apply(head(1), [CallResult(success=False, data=b"") for _ in asked])

    assert len(made.calls(head(2))) == len(asked)


def test_answers_to_another_block_are_refused():
    """One block per decision."""
    made = market()
    made.calls(head(1))

    with pytest.raises(MarketUnreadable):
        made.apply(head(2), [])


def test_an_unknown_setting_is_an_error():
    """A misspelt option must not be ignored."""
    with pytest.raises(ValueError, match="extra"):
        Options(addresses_provider=build.address(1), pool="0x")
