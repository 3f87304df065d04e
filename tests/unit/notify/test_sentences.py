"""Messages about random accounts, each sentence with a number held against the protocol's rules."""

import dataclasses
import os
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.domain.notice import NoticeKind
from keeper.domain.units import RAY, UINT256_MAX, WAD
from keeper.margin.facts import BlockFacts, MarketFacts
from keeper.margin.guard import Block
from keeper.margin.notices import about_account
from keeper.margin.settings import COMPETITIVE, GUARDIAN, SEVERITY
from keeper.margin.state import MarginState, Mark, Standing
from keeper.margin.tiers import within
from keeper.notify.rendering import message_of
from keeper.protocols.aave_v3 import rules as pool_rules
from keeper.protocols.aave_v3.model import Account
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.morpho_blue import rules as morpho_rules
from keeper.protocols.morpho_blue.advice import after_repaying
from keeper.protocols.morpho_blue.model import Irm, Position
from keeper.risk.tiers import Tier
from tests.support.sentences import Reader
from tests.unit.protocols import aave_builders, morpho_builders
from tests.unit.protocols.test_aave_advice import DAY, FROZEN, REVISIONS, legs, market
from tests.unit.protocols.test_morpho_advice import states

EXAMPLES = int(os.environ.get("KEEPER_EXAMPLES", "150"))
"""
The messages of one run.

10,000 of each protocol were read when this was written: ``KEEPER_EXAMPLES=10000 .venv/bin/pytest
tests/unit/notify/test_sentences.py --hypothesis-profile search``.
"""

TOLD = (NoticeKind.CALLED, NoticeKind.REMINDER, NoticeKind.ESCALATED, NoticeKind.CURED)
POLICIES = {one.name: one for one in (COMPETITIVE, GUARDIAN)}
TIERS = (Tier.WATCH, Tier.CALL, Tier.URGENT, Tier.LIQUIDATABLE)


@dataclass(frozen=True)
class Telling:
    """What is told of an account besides its balances."""

    target: int = 2 * WAD
    seconds: int = DAY
    kind: NoticeKind = NoticeKind.CALLED
    tier: Tier = Tier.CALL
    policy: str = COMPETITIVE.name
    since: int = 0


tellings = st.builds(
    Telling,
    target=st.integers(WAD * 11 // 10, 3 * WAD),
    seconds=st.integers(0, 400 * DAY),
    kind=st.sampled_from(TOLD),
    tier=st.sampled_from(TIERS),
    policy=st.sampled_from(sorted(POLICIES)),
    since=st.integers(0, 600),
)


def told(snapshot, account, telling):
    """The notice of an account as the rules of margin calls make it, with its advice."""
    health, head = snapshot.account(account), snapshot.head
    subject = (snapshot.market, account)
    facts = BlockFacts(
        number=head.number,
        hash=head.hash,
        timestamp=head.timestamp,
        wall=head.timestamp,
        markets={snapshot.market: MarketFacts(usd_per_base=(1, 1))},
        accounts={subject: health} if health else {},
        exposures={subject: exposure} if (exposure := snapshot.exposure(account)) else {},
    )
    block = Block(POLICIES[telling.policy], MarginState(), facts)
    mark = Mark(number=0, timestamp=head.timestamp - telling.since, wall=0)
    tier = telling.tier
    standing = Standing(tier=tier, entered=dict.fromkeys(within(tier), mark), episode=1)
    notice = about_account(block, subject, standing, health, telling.kind, tier=tier, detail="")
    advice = snapshot.advice(account, telling.target, head.timestamp + telling.seconds)
    return dataclasses.replace(notice, advice=advice)


@dataclass
class Pool:
    """An account of a pool, by the pool's own rules."""

    pool: object
    kept: object
    now: int

    def __post_init__(self):
        data = Clock(self.pool, self.now).position(self.kept).data
        self.health_now, self.liquidatable = data.health_factor, data.health_factor < WAD
        self.debt_usd, self.collateral_usd = data.debt, data.collateral
        reserves = self.pool.reserves
        self.tokens = {
            one.reserve.token: (one.reserve.symbol, one.configuration.decimals)
            for one in reserves.values()
        }
        flagged = self.kept.flagged()
        self.owing = [reserves[at].reserve.token for at in flagged if self.kept.is_borrowing(at)]
        open_ = [at for at in flagged if not reserves[at].configuration.frozen]
        self.shut = {reserves[at].reserve.symbol for at in flagged if at not in open_}
        self.backing = [reserves[at].reserve.token for at in open_ if self.kept.is_collateral(at)]

    def health_untreated(self, moment):
        return Clock(self.pool, moment).position(self.kept).data.health_factor

    def owed(self, token, moment):
        at, clock = self._at(token), Clock(self.pool, moment)
        return clock.position(self.kept).legs[at].debt

    def health_after(self, kind, token, amount, moment):
        at, clock = self._at(token), Clock(self.pool, moment)
        supply, debt = clock.indices(at)
        held, rulebook = self.kept.holdings[at], self.pool.structure.rules
        if kind == "add":
            more = held.scaled_supply + pool_rules.scaled(amount, supply, rulebook)
            held = dataclasses.replace(held, scaled_supply=more)
            flags = self.kept.flags | 2 << 2 * at
        else:
            paid = pool_rules.scaled(amount, debt, rulebook) if amount is not None else 2**200
            left = max(0, held.scaled_debt - paid)
            held = dataclasses.replace(held, scaled_debt=left)
            flags = self.kept.flags
        after = Account(flags, self.kept.category, {**self.kept.holdings, at: held})
        return clock.position(after).data.health_factor

    def is_liquidatable_at(self, symbol, numerator, denominator, *, round_up):
        (at,) = (k for k, one in self.pool.reserves.items() if one.reserve.symbol == symbol)
        price = self.pool.reserves[at].price * numerator
        moved = -(-price // denominator) if round_up else price // denominator
        reserve = dataclasses.replace(self.pool.reserves[at], price=moved)
        pool = dataclasses.replace(self.pool, reserves={**self.pool.reserves, at: reserve})
        return Clock(pool, self.now).position(self.kept).data.health_factor < WAD

    def _at(self, token):
        return next(at for at, one in self.pool.reserves.items() if one.reserve.token == token)


SEEN = {}


def leg(**changes):
    """A leg of the found example below, with what differs between the two."""
    facts = {"decimals": 0, "price": 1, "rate": 0, "emode": False, "variable_index": RAY}
    return {**facts, **changes}


ROUNDED_TWICE = [
    leg(
        threshold=98,
        supplied_value=10_531,
        owed_value=2_409,
        liquidity_index=2_406_751_495_584_464_913_113_664_420,
        variable_index=1_133_196_721_311_475_409_836_065_574,
    ),
    leg(
        decimals=2,
        price=3,
        threshold=1,
        supplied_value=521_192,
        owed_value=242,
        liquidity_index=1_695_947_801_031_368_239_109_077_615,
    ),
]
"""Liquidatable now, healthy at a lower price and liquidatable again: the average is rounded."""


JUST_PAST = [
    leg(threshold=8_000, supplied_value=0, owed_value=10_000, liquidity_index=RAY),
    leg(threshold=8_000, supplied_value=20_000, owed_value=0, liquidity_index=RAY),
]
"""So little past the line, by ``nearer``, that a patient policy still waits."""


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    revision=st.sampled_from(REVISIONS),
    drawn=legs,
    nearer=st.integers(1, 400),
    frozen=st.booleans(),
    telling=tellings,
)
@example(
    revision=1,
    drawn=ROUNDED_TWICE,
    nearer=158,
    frozen=False,
    telling=Telling(target=WAD * 11 // 10, seconds=0),
)
@example(
    revision=REVISIONS[-1],
    drawn=JUST_PAST,
    nearer=102,
    frozen=False,
    telling=Telling(tier=Tier.LIQUIDATABLE, policy=GUARDIAN.name),
)
def test_every_number_about_an_account_of_a_pool_is_true(revision, drawn, nearer, frozen, telling):
    """Liquidatable or healthy, one asset or five, in and out of eModes, over all versions."""
    pool, kept = market(revision, near_the_line(drawn, nearer))
    pool = frozen_pool(pool) if frozen else pool
    snapshot = aave_builders.snapshot(pool, **{aave_builders.BORROWER: kept})
    notice = told(snapshot, aave_builders.BORROWER, telling)
    case = Pool(snapshot.pool, kept, snapshot.head.timestamp)

    Reader(notice, case, SEEN).read(message_of("ops", [notice]))


def frozen_pool(pool):
    """The pool with every reserve frozen: nothing can be supplied, everything repaid."""
    frozen = {
        at: dataclasses.replace(
            one,
            configuration=dataclasses.replace(
                one.configuration, word=one.configuration.word | FROZEN
            ),
        )
        for at, one in pool.reserves.items()
    }
    return dataclasses.replace(pool, reserves=frozen)


def near_the_line(drawn, percent):
    """The same legs, the debts scaled so that many accounts are close to liquidation."""
    weighted = sum(leg["supplied_value"] * leg["threshold"] for leg in drawn)
    owed = sum(leg["owed_value"] for leg in drawn) * 10_000
    if percent > 200 or not owed or not weighted:
        return drawn
    return [
        {**leg, "owed_value": leg["owed_value"] * weighted * percent // (100 * owed)}
        for leg in drawn
    ]


@dataclass
class Debtor:
    """A position of a Morpho Blue market, by the contract's own rules."""

    position: object
    state: object
    price: int
    now: int

    def __post_init__(self):
        found = self._health(self.position, self.now, self.price)
        self.health_now, self.liquidatable = found.factor, found.liquidatable
        one = morpho_builders.market()
        self.tokens = {t.address: (t.symbol, t.decimals) for t in (one.loan, one.collateral)}
        self.owing, self.backing = [one.loan.address], [one.collateral.address]

    def _health(self, position, moment, price):
        state = morpho_rules.accrued(self.state, Irm.ADAPTIVE_CURVE, moment)
        return morpho_rules.health(position, state, price, morpho_builders.params().lltv)

    def health_untreated(self, moment):
        return self._health(self.position, moment, self.price).factor

    def owed(self, token, moment):
        state = morpho_rules.accrued(self.state, Irm.ADAPTIVE_CURVE, moment)
        return morpho_rules.assets_up(self.position.borrow_shares, state)

    def health_after(self, kind, token, amount, moment):
        if kind == "add":
            held = min(self.position.collateral + amount, UINT256_MAX // self.price)
            more = dataclasses.replace(self.position, collateral=held)
            return self._health(more, moment, self.price).factor
        if amount is None:
            return UINT256_MAX
        state = morpho_rules.accrued(self.state, Irm.ADAPTIVE_CURVE, moment)
        done = after_repaying(amount, self.position, state)
        assert done is not None, "the contract reverts"
        if not done[0].borrow_shares:
            return UINT256_MAX
        lltv = morpho_builders.params().lltv
        return morpho_rules.health(*done, self.price, lltv).factor

    def is_liquidatable_at(self, symbol, numerator, denominator, *, round_up):
        if symbol == "USDC":  # the oracle's price is the collateral's in the loan
            numerator, denominator, round_up = denominator, numerator, not round_up
        if denominator == 0:
            return False
        price = self.price * numerator
        price = -(-price // denominator) if round_up else price // denominator
        return self._health(self.position, self.now, price).liquidatable


@st.composite
def debtors(draw):
    """A market, a position in it, and a price at which it is somewhere about the line."""
    state, lltv = draw(states), morpho_builders.params().lltv
    share, collateral = draw(st.integers(1, 10**9)), draw(st.integers(1, 10**30))
    shares = max(1, state.borrow_shares * share // 10**9)
    now = morpho_rules.accrued(state, Irm.ADAPTIVE_CURVE, morpho_builders.NOW)
    worth = morpho_rules.assets_up(shares, now) * draw(st.integers(50, 300))
    price = max(1, worth * 10**36 * WAD // (collateral * lltv * 100))
    position = Position(borrow_shares=shares, collateral=collateral)
    return Debtor(position, state, price, morpho_builders.NOW)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(debtors(), tellings)
def test_every_number_about_a_position_of_morpho_is_true(case, telling):
    """Around the line, in markets of all sizes, shares dearer and cheaper than a unit."""
    snapshot = morpho_builders.snapshot(case.position, state=case.state, price=case.price)
    notice = told(snapshot, "0x" + "0" * 39 + "1", telling)
    case.debt_usd, case.collateral_usd = notice.debt_usd_e8, notice.collateral_usd_e8

    Reader(notice, case, SEEN).read(message_of("ops", [notice]))


@pytest.mark.parametrize("kind", [NoticeKind.CURED, NoticeKind.LIQUIDATED])
def test_who_owes_nothing_is_told_no_number_but_the_blocks(kind):
    """There is no health, no debt and no price at which anything would begin."""
    kept = Account(0b10, 0, {aave_builders.WETH: aave_builders.Holding(10**18, 0)})
    snapshot = aave_builders.snapshot(**{aave_builders.BORROWER: kept})
    notice = told(snapshot, aave_builders.BORROWER, Telling(kind=kind))
    seen = {}

    Reader(notice, None, seen).read(message_of("ops", [notice]))

    assert set(seen) == {"account", "market", "as_of"}


@pytest.mark.slow
def test_every_rule_was_met():
    """A sentence that no example makes would be held against nothing."""
    expected = {
        "starts", "ends", "add", "repay", "repay_all", "time_waits_below", "time_waits_above",
        "time_none", "time_later",
        "time_again", "nothing_needed", "all_of_it", "nothing_alone", "worth", "health", "as_of",
    }  # fmt: skip

    assert expected <= SEEN.keys(), expected - SEEN.keys()
    assert SEVERITY[Tier.LIQUIDATABLE] == max(SEVERITY.values())
