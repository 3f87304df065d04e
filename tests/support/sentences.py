"""
Messages read back: each sentence with a number in it, held against a protocol's own rules.

A sentence that no rule here knows fails: nothing with a number in it is said unchecked.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from keeper.domain.notice import CLOSING
from keeper.domain.units import UINT256_MAX, WAD

BPS = 10_000
HUNDREDTH = 1
EXACT = Context(prec=200)


def wad(text, rounding=ROUND_FLOOR):
    """The health factor that a text of four decimals states at least."""
    if text == "beyond counting":
        return UINT256_MAX
    return int(EXACT.multiply(Decimal(text.replace(",", "")), WAD).to_integral_value(rounding))


def units(text, decimals):
    """The token amount of a text: the chain has no halves of a unit, so it is rounded up."""
    exact = EXACT.multiply(Decimal(text.replace(",", "")), 10**decimals)
    return int(exact.to_integral_value(ROUND_CEILING))


def moment(text):
    """The seconds of a moment as messages write it."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp())


def bps(text):
    """Hundredths of a percent."""
    return int(EXACT.multiply(Decimal(text.replace(",", "")), 100))


@dataclass
class Reader:
    """
    Checks the lines of one message of one notice.

    ``case`` is the account in a model of its protocol: ``health_now``, ``liquidatable``,
    ``debt_usd`` and ``collateral_usd`` (1e-8 dollars) at the block, ``tokens`` (symbol by
    address), ``health_after(kind, token, amount or None for all, moment)``,
    ``is_liquidatable_at(symbol, numerator, denominator, round_up=)`` with the price of one token
    moved by a factor, and ``health_untreated(moment)``. ``seen`` counts the sentences that were
    checked.
    """

    notice: object
    case: object
    seen: dict
    target: int = 0
    until: int = 0

    def read(self, message):
        """Check a message, title and text."""
        self._title(message.title)
        for line in message.text.splitlines():
            for pattern, check in RULES:
                found = re.fullmatch(pattern, line)
                if found:
                    self.seen[check.__name__] = self.seen.get(check.__name__, 0) + 1
                    check(self, **found.groupdict())
                    break
            else:
                assert not re.search(r"\d", line), f"no rule for the sentence: {line}"

    def _title(self, title):
        found = re.search(r", health (.+)$", title)
        if found and self.notice.health_factor is not None:
            self.health(found.group(1), None)

    def account(self, account, opening):
        """Who it is; a tier is the notice's, and nothing is over while it is open."""
        assert account == self.notice.account
        assert ("tier" in opening) or self.notice.kind in CLOSING

    def market(self, market):
        """Where it is."""
        assert market == self.notice.market

    def health(self, health, steadied):
        """Never better than it is, and not worse by more than the last digit."""
        true = self.case.health_now
        assert wad(health) <= true < wad(health) + WAD // 10**4
        assert (wad(health) < WAD) == self.case.liquidatable
        if steadied is not None:
            assert wad(steadied) <= self.notice.guarded_health_factor

    def worth(self, debt, collateral):
        """The debt is not less than stated by a cent or more, the collateral not more."""
        cent = 10**6
        assert 0 <= bps(debt) * cent - self.case.debt_usd < cent
        assert 0 <= self.case.collateral_usd - bps(collateral) * cent < cent

    def time_waits(self, moment_, span):
        """The policy's grace ends then and not before, and the span is not too long."""
        assert moment(moment_) == self.notice.deadline > self.notice.timestamp
        assert span_seconds(span) <= self.notice.deadline - self.notice.timestamp

    def time_waits_below(self, moment_, span):
        """So long it waits now: the protocol's rule lets anybody liquidate it."""
        assert self.case.liquidatable
        self.time_waits(moment_, span)

    def time_waits_above(self, moment_, span):
        """So long it would wait: nobody may liquidate it yet."""
        assert not self.case.liquidatable
        self.time_waits(moment_, span)

    def time_none(self):
        """The protocol's rule lets anybody liquidate it."""
        assert self.case.liquidatable

    def time_later(self):
        """It does not yet."""
        assert not self.case.liquidatable

    def time_unknown(self):
        """No figure of the account is stated either."""
        assert self.notice.health_factor is None
        assert self.notice.debt_usd_e8 is None

    def time_again(self):
        """It does not, though the tier goes on."""
        assert not self.case.liquidatable
        assert self.notice.tier == "liquidatable"

    def heading(self, target, until):
        """What the cures below reach, and until when."""
        self.target, self.until = wad(target), moment(until)

    def add(self, amount, symbol, token, more):
        """As written it reaches the target at the time."""
        del more
        assert self.case.tokens[token][0] == symbol
        owned = units(amount, self.case.tokens[token][1])
        assert self.case.health_after("add", token, owned, self.until) >= self.target

    def repay(self, amount, symbol, token, more):
        """As written the protocol takes it, and it reaches the target at the time."""
        del more
        assert self.case.tokens[token][0] == symbol
        paid = units(amount, self.case.tokens[token][1])
        assert self.case.health_after("repay", token, paid, self.until) >= self.target

    def repay_all(self, symbol, amount, token, more):
        """All of it reaches the target, and is not more than written."""
        del more, symbol
        most = units(amount, self.case.tokens[token][1])
        assert self.case.owed(token, self.until) <= most
        assert self.case.health_after("repay", token, None, self.until) >= self.target

    def nothing_alone(self, target):
        """No addition and no repayment of one token reaches it."""
        until = self.notice.advice.holds_until
        for token in self.case.backing:
            for amount in (1, 10**9, 10**18, 10**24, 10**30):
                reached = self.case.health_after("add", token, amount, until)
                assert reached < wad(target, ROUND_CEILING)
        for token in self.case.owing:
            reached = self.case.health_after("repay", token, None, until)
            assert reached < wad(target, ROUND_CEILING)

    def nothing_needed(self, target, until, health):
        """Left alone it is there at the time."""
        reached = self.case.health_untreated(moment(until))
        assert wad(health) <= reached
        assert reached >= wad(target)

    def all_of_it(self, symbol, health):
        """Repaid whole it reaches that and no more."""
        until = self.notice.advice.holds_until
        reached = [
            self.case.health_after("repay", token, None, until)
            for token in self.case.owing
            if self.case.tokens[token][0] == symbol
        ]
        assert any(wad(health) <= one < wad(health) + WAD // 10**4 for one in reached)

    def shut(self, symbol):
        """The protocol takes none of it."""
        assert symbol in self.case.shut

    def starts(self, symbol, verb, percent):
        """Healthy now and a hundredth of a percent before, liquidatable after the move."""
        assert not self.case.liquidatable
        self._turns(symbol, verb == "rises", bps(percent), liquidatable_after=True)

    def ends(self, symbol, verb, percent):
        """Liquidatable now and a hundredth of a percent before, healthy after the move."""
        assert self.case.liquidatable
        self._turns(symbol, verb == "rose", bps(percent), liquidatable_after=False)

    def _turns(self, symbol, up, move, *, liquidatable_after):
        """Prices are whole numbers: the move is rounded outwards, what is short of it inwards."""
        after, before = (BPS + (way if up else -way) for way in (move, move - HUNDREDTH))
        asked = self.case.is_liquidatable_at
        assert asked(symbol, after, BPS, round_up=up) == liquidatable_after
        assert asked(symbol, before, BPS, round_up=not up) != liquidatable_after

    def as_of(self, number, when, other):
        """The block that it was read at, and that of the amounts where it is another one."""
        assert int(number) == self.notice.block_number
        assert moment(when) == self.notice.timestamp
        assert other is None or self.notice.advice.block_number != self.notice.block_number


NUMBER = r"[\d,]+(?:\.\d+)?"
HEALTH = rf"{NUMBER}|beyond counting"
WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
CURE = rf"(?P<amount>{NUMBER}) (?P<symbol>\S+)(?P<more> at the stable rate)?"
WAITS = (
    rf"by its policy this keeper waits until (?P<moment_>{WHEN}) \((?P<span>.*) after this was"
    r" read\), unless it gets much worse"
)
RULES = [
    (r"Account (?P<account>0x\w+) (?P<opening>.*)\.", Reader.account),
    (r"Market: (?P<market>\S+)", Reader.market),
    (
        (
            rf"Health: (?P<health>{HEALTH})(?:, (?P<steadied>{HEALTH}) at the steadied prices)?;"
            r" it can be liquidated below 1\."
        ),
        Reader.health,
    ),
    (
        rf"Debt: (?P<debt>{NUMBER}) USD, against collateral of (?P<collateral>{NUMBER}) USD\.",
        Reader.worth,
    ),
    (rf"Time: {WAITS}; others need not wait\.", Reader.time_waits_below),
    (
        (
            r"Time: only below a health of 1 anybody may liquidate it; then"
            rf" {WAITS}, and others need not\."
        ),
        Reader.time_waits_above,
    ),
    (r"Time: none; it was past the line when this was read, and .*", Reader.time_none),
    (
        (
            r"Time: as soon as its health falls below 1, anybody may liquidate it unless the"
            r" protocol itself is paused or grants time\."
        ),
        Reader.time_later,
    ),
    (r"Time: not known; below a health of 1 .*", Reader.time_unknown),
    (r"Time: it was healthy again, short of .* below 1, .*", Reader.time_again),
    (
        (
            rf"What to do, any one of these \(health (?P<target>{NUMBER}) at (?P<until>{WHEN})"
            r" if prices and rates stay\):"
        ),
        Reader.heading,
    ),
    (
        rf"- add {CURE} \((?P<token>0x\w+)(?:, a new collateral)?\)(?: \(the least in value\))?",
        Reader.add,
    ),
    (
        (
            r"- repay all of the (?P<symbol>\S+)(?P<more> at the stable rate)?, at most"
            rf" (?P<amount>{NUMBER}) \S+ \((?P<token>0x\w+)\)(?: \(the least in value\))?"
        ),
        Reader.repay_all,
    ),
    (rf"- repay {CURE} \((?P<token>0x\w+)\)(?: \(the least in value\))?", Reader.repay),
    (
        (
            r"Nothing that can be added or repaid alone brings it to a health of"
            rf" (?P<target>{NUMBER})\."
        ),
        Reader.nothing_alone,
    ),
    (
        (
            rf"Nothing has to be done for a health of (?P<target>{NUMBER}): at (?P<until>{WHEN}) it"
            rf" is (?P<health>{HEALTH}) if prices and rates stay\."
        ),
        Reader.nothing_needed,
    ),
    (
        (
            r"Not possible: repaying (?P<symbol>\S+): all of it gives a health factor of"
            rf" (?P<health>{NUMBER}) only"
        ),
        Reader.all_of_it,
    ),
    (r"Not possible: adding (?P<symbol>\S+): the reserve is frozen", Reader.shut),
    (
        (
            rf"It can be liquidated if (?P<symbol>\S+) alone (?P<verb>falls|rises) by"
            rf" (?P<percent>{NUMBER}) %\."
        ),
        Reader.starts,
    ),
    (
        (
            rf"It would be healthy again if (?P<symbol>\S+) alone (?P<verb>rose|fell) by"
            rf" (?P<percent>{NUMBER}) %\."
        ),
        Reader.ends,
    ),
    (
        (
            rf"Read at block (?P<number>\d+), (?P<when>{WHEN})\."
            rf"(?P<other> Amounts and distances: at block \d+, {WHEN}\.)?"
        ),
        Reader.as_of,
    ),
]


def span_seconds(text):
    """The seconds of a length of time, as messages write it."""
    size = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
    parts = text.split()
    return sum(int(n) * size[unit] for n, unit in zip(parts[::2], parts[1::2], strict=True))
