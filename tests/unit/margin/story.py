"""Price paths through the real rules: accounts of ether against dollars, block by block."""

import json
from dataclasses import dataclass, field, replace

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure, ExposureLeg
from keeper.domain.oracle import Reading, Round, SecondPrice
from keeper.domain.units import WAD
from keeper.margin.documents import rest_document, rest_from, standing_document, standing_from
from keeper.margin.episodes import advanced, wanting
from keeper.margin.facts import BlockFacts, MarketFacts
from keeper.margin.restraint import restrained
from keeper.margin.settings import COMPETITIVE, GUARDIAN
from keeper.margin.state import MarginState

MARKET = "m:1"
ETHER, DOLLAR = "0x" + "e" * 40, "0x" + "d" * 40
FEED = "0x" + "f" * 40
USD = 10**8
START, INTERVAL = 1_800_000_000, 12

COMPETITIVE_HERE = replace(COMPETITIVE, both_clocks=True)
GUARDIAN_HERE = replace(GUARDIAN, both_clocks=True)


def someone(number):
    return f"0x{number:040x}"


def subject(number, market=MARKET):
    return (market, someone(number))


def exposure_of(price, debt, *, weight=80, amount=1):
    """One ether (or more) at a price backs ``debt`` dollars; an eMode's bonus is a small one."""
    bonus = 105 if weight < 93 else 101
    return Exposure(
        legs=(
            ExposureLeg(
                token=ETHER,
                symbol="WETH",
                collateral=amount * price,
                debt=0,
                weight=weight * WAD // 100,
                bonus=bonus * WAD // 100,
            ),
            ExposureLeg(
                token=DOLLAR,
                symbol="USDC",
                collateral=0,
                debt=debt * USD,
                weight=weight * WAD // 100,
                bonus=bonus * WAD // 100,
            ),
        )
    )


def health_of(number, exposure, *, market=MARKET, unpriced=""):
    collateral = sum(leg.collateral for leg in exposure.legs)
    weighted = sum(leg.collateral * leg.weight for leg in exposure.legs)
    debt = sum(leg.debt for leg in exposure.legs)
    factor = weighted // debt
    return AccountHealth(
        market=market,
        account=someone(number),
        health_factor=factor,
        collateral_base=collateral,
        debt_base=debt,
        liquidatable=factor < WAD and not unpriced,
        unpriced=unpriced,
    )


def reading(price, **changes):
    return replace(Reading(token=ETHER, symbol="WETH", price=price, feed=FEED), **changes)


def a_round(price, at, **changes):
    return replace(Round(round_id=5, answer=price, updated_at=at, answered_in=5), **changes)


DOLLAR_READING = Reading(token=DOLLAR, symbol="USDC", price=USD, feed="0x" + "a" * 40)


@dataclass
class Story:
    """Debts by account against one ether each; ``block`` plays a block at a price in dollars."""

    debts: dict
    settings: object = field(default_factory=lambda: COMPETITIVE_HERE)
    state: MarginState = field(default_factory=MarginState)
    number: int = 0
    branch: str = "a"
    wall_ahead: int = 0
    time_ahead: int = 0
    restarts: bool = False
    notices: list = field(default_factory=list)
    waits: dict = field(default_factory=dict)
    gone: set = field(default_factory=set)
    liquidated: frozenset = frozenset()
    seconds: tuple = ()
    readings: object = None
    failed: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)

    def facts(self, price, *, fork=None):
        timestamp = START + INTERVAL * self.number + self.time_ahead
        exposures = {
            subject(one): exposure_of(price * USD, debt, weight=self.weights.get(one, 80))
            for one, debt in self.debts.items()
            if one not in self.gone
        }
        accounts = {key: health_of(int(key[1], 16), one) for key, one in exposures.items()}
        look_below = self.settings.tiers.look_below
        members = self.state.standings
        accounts = {
            key: one
            for key, one in accounts.items()
            if one.health_factor < look_below or key in members
        }
        stated = MarketFacts(
            readings=self.readings or (reading(price * USD), DOLLAR_READING),
            seconds={ETHER: self.seconds} if self.seconds else {},
            usd_per_base=(1, 1),
        )
        facts = BlockFacts(
            number=self.number,
            hash=f"0x{self.branch}{self.number}",
            timestamp=timestamp,
            wall=timestamp + self.wall_ahead,
            fork=fork,
            markets={} if MARKET in self.failed else {MARKET: stated},
            failed=self.failed,
            accounts=accounts,
            liquidated=self.liquidated,
        )
        wanted = set(wanting(self.settings, self.state, facts))
        return replace(facts, exposures={k: e for k, e in exposures.items() if k in wanted})

    def block(self, price, *, fork=None, again=False):
        """Play the next block (or the same one ``again``); return what was told in it."""
        if not again:
            self.number += 1
        facts = self.facts(price, fork=fork)
        before = restrained(self.settings, self.state, facts)
        found = advanced(self.settings, self.state, facts)
        after = restrained(self.settings, found.state, facts)
        assert after == before, "the policy must not depend on when it is asked"
        self.state = revived(found.state) if self.restarts else found.state
        self.notices += found.notices
        self.waits = {int(key[1], 16): one for key, one in after.waits.items()}
        self.restraint = after
        return [told(one) for one in found.notices]

    def looked(self, price):
        """Play a block; return its facts and what followed, for whoever keeps it."""
        self.number += 1
        facts = self.facts(price)
        found = advanced(self.settings, self.state, facts)
        self.state = found.state
        return facts, found

    def play(self, *prices):
        """Play blocks; return what was told, with the block's place."""
        return [(at, *one) for at, price in enumerate(prices, 1) for one in self.block(price)]


def told(notice):
    """A notice in three words: kind, whom, tier."""
    return (str(notice.kind), int(notice.account, 16) if notice.account else 0, notice.tier)


def revived(state):
    """The state after it was stored and read again, as a restart does."""
    rest = rest_from(json.loads(json.dumps(rest_document(state))))
    standings = {key: standing_from(standing_document(one)) for key, one in state.standings.items()}
    restored = replace(rest, standings=standings, numbers=dict(state.numbers))
    assert restored == state
    return restored


def second(price):
    return SecondPrice(source="another feed", price=price * USD)
