"""Which markets are wanted, what logs touch, and answers that are not what was asked for."""

import pytest
from pydantic import ValidationError

from keeper.chain.abi import encoded
from keeper.chain.asking import Answers, symbol_of
from keeper.domain.errors import MarketUnreadable, RpcMalformed
from keeper.domain.head import Head
from keeper.domain.reads import CallResult, Log
from keeper.domain.units import deployment
from keeper.protocols.morpho_blue import events
from keeper.protocols.morpho_blue.adapter import Options, build
from keeper.protocols.morpho_blue.calls import EXECUTOR_MODULE, liquidation_step
from keeper.protocols.morpho_blue.model import PARAMS_TYPE
from tests.unit.protocols.morpho_builders import BORROWER, MORPHO, USDC, WETH, market, params

SOMEBODY = "0x" + "d" * 40
TYPES = ("address", "address", "address", "address", "uint256")


def options(**lists):
    return Options(**{"morpho": MORPHO, **lists})


def log(*topics, data=b""):
    padded = [t if isinstance(t, bytes) else bytes.fromhex(t[2:]).rjust(32, b"\0") for t in topics]
    return Log(
        address=MORPHO,
        topics=tuple(padded),
        data=data,
        block_number=1,
        block_hash="0x" + "a" * 64,
        transaction_hash="0x" + "b" * 64,
        index=0,
    )


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"all": True, "loan_tokens": [USDC]},
        {"markets": ["0x12"]},
        {"loan_tokens": ["usdc"]},
        {"all": True, "colour": "red"},
        {"all": True, "usd_feeds": {USDC: "0x1"}},
    ],
    ids=("nothing", "both", "short id", "no address", "unknown key", "no feed"),
)
def test_options_that_say_too_little_or_too_much(lists):
    """Following every market anybody made has to be asked for."""
    with pytest.raises(ValidationError):
        options(**lists)


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ({"all": True}, True),
        ({"markets": [params().id.upper().replace("0X", "0x")]}, True),
        ({"markets": [params(lltv=1).id]}, False),
        ({"loan_tokens": [USDC], "collateral_tokens": [WETH]}, True),
        ({"loan_tokens": [USDC], "collateral_tokens": [USDC]}, False),
        ({"irms": [params().irm], "oracles": [params().oracle]}, True),
        ({"irms": [params().oracle]}, False),
    ],
)
def test_a_market_must_be_in_every_list(lists, wanted):
    """Ids in any case, addresses by checksum or not."""
    one = params(loan_token=options(loan_tokens=[USDC]).loan_tokens[0])
    one = params(
        **{
            name: options(loan_tokens=[getattr(one, name)]).loan_tokens[0]
            for name in ("loan_token", "collateral_token", "oracle", "irm")
        }
    )
    assert options(**lists).wants(one) == wanted


@pytest.mark.parametrize(
    "topics",
    [
        (events.BORROW, market().id, BORROWER, SOMEBODY),
        (events.REPAY, market().id, SOMEBODY, BORROWER),
        (events.SUPPLY_COLLATERAL, market().id, SOMEBODY, BORROWER),
        (events.WITHDRAW_COLLATERAL, market().id, BORROWER, SOMEBODY),
        (events.LIQUIDATE, market().id, SOMEBODY, BORROWER),
    ],
    ids=("borrow", "repay", "pledge", "withdraw", "liquidate"),
)
def test_logs_name_whose_position_changed(topics):
    """Not who called, nor who received; only a loan makes a borrower."""
    found = events.touched([log(*topics)])
    ((identity, account),) = found.changed

    assert (identity, account.lower()) == (market().id, BORROWER)
    assert bool(found.borrowed) == (topics[0] == events.BORROW)


def test_hostile_logs_are_passed_over():
    """Too few topics, unknown topics, none at all."""
    found = events.touched([log(), log(events.BORROW), log(events.BORROW, market().id), log(WETH)])
    assert not (found.changed | found.created)


def test_created_markets_are_read_from_their_log():
    """Whose id must be that of what it says."""
    one = params()
    data = encoded(TYPES, one.values)
    (found,) = events.created([log(events.CREATE_MARKET, one.id, data=data)]).values()

    assert found.id == one.id
    with pytest.raises(RpcMalformed):
        events.created([log(events.CREATE_MARKET, params(lltv=7).id, data=data)])


def test_a_step_is_what_the_executors_module_reads():
    """Five words of parameters in place, and exactly one of the two amounts."""
    step = liquidation_step(MORPHO, params(), BORROWER, seized=5, repaid_shares=0)
    types = ("address", PARAMS_TYPE, "address", "uint256", "uint256")

    assert step.module == EXECUTOR_MODULE
    assert step.data == encoded(types, (MORPHO, params().values, BORROWER, 5, 0))


def test_a_markets_key_begins_with_its_deployments():
    """So that settings, executor and simulator are found by either."""
    made = build(options(all=True), from_block=7, reader=None)
    assert deployment(f"{made.key}:{market().id}") == made.key == deployment(made.key)
    assert made.from_block == 7


@pytest.mark.parametrize("raw", [b"", b"\x01", bytes(32) + b"\xff" * 40, b"\xff" * 64])
def test_a_symbol_is_always_words(raw):
    """Whatever the token answers, and shortened."""
    said = symbol_of(CallResult(success=True, data=raw), WETH)
    assert said
    assert said.isprintable()
    assert len(said) <= 32


def test_answers_that_lack_are_the_markets_fault():
    """Nothing is guessed from an answer that is too short, failed or missing."""
    short = Answers([CallResult(success=True, data=bytes(64))])
    with pytest.raises(MarketUnreadable):
        short.words(3, "position")
    with pytest.raises(MarketUnreadable):
        short.next()
    failed = Answers([CallResult(success=False, data=bytes(32))])
    assert failed.maybe_integer() is None


def test_nothing_is_known_before_discovery():
    """Asking for it is an error of its own, not a crash."""
    made = build(options(all=True), from_block=0, reader=None)
    head = Head(
        number=1,
        hash="0x1",
        parent_hash="0x0",
        timestamp=1,
        base_fee=1,
        gas_limit=1,
        gas_used=1,
    )
    with pytest.raises(MarketUnreadable):
        made.calls(head)
    with pytest.raises(MarketUnreadable):
        made.apply(head, [])
