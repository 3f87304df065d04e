"""Coverage of debt, whether the accounts of the book owe the contracts' total debt.

Uncovered debt belongs to a borrower missing from the book, because the history begins too late or a
node omitted logs. The known accounts are acted upon as before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.coverage import CoverageNews, DebtTotal, sum_uncovered_usd_e8
from keeper.domain.units import USD_E8, MarketKey, TokenUnits

LIMIT_USD_E8: Final = 1_000 * USD_E8
"""Uncovered debt that is not reported, in 1e-8 dollars."""
CONFIRMING_HEADS: Final = 2
"""Consecutive heads with uncovered debt before it is reported."""
HINT: Final = (
    "if from_block of this [[market]] is later than its first block, lower it (`keeper init`"
    " finds the block); otherwise add an endpoint, since eth_getLogs of this one leaves logs out"
)
NO_TOTALS: Final = "no debt is known there at all: no reserve or market was found"

_CENTS: Final = 100
_E8_PER_CENT: Final = USD_E8 // _CENTS


@dataclass(slots=True)
class _CoverageState:
    """The newest totals of a deployment, and its consecutive heads with uncovered debt."""

    totals: Sequence[DebtTotal] = ()
    heads: int = 0
    is_reported: bool = False


class DebtCoverage:
    """The totals of every deployment as of the newest read.

    ``limit_usd_e8`` is the uncovered debt that is tolerated, in 1e-8 dollars.
    """

    def __init__(self, limit_usd_e8: int = LIMIT_USD_E8) -> None:
        self.limit_usd_e8 = limit_usd_e8
        self._standings: dict[MarketKey, _CoverageState] = {}
        self._news: list[CoverageNews] = []

    def record_totals(self, market: MarketKey, totals: Sequence[DebtTotal]) -> None:
        """Replace a deployment's totals by those of a newer head."""
        standing = self._standings.setdefault(market, _CoverageState())
        standing.totals = totals
        is_above = self._is_above(totals)
        standing.heads = standing.heads + 1 if is_above else 0
        if is_above and not standing.is_reported and standing.heads >= CONFIRMING_HEADS:
            standing.is_reported = True
            self._news.append(_build_news(market, totals, is_covered=False))
        elif standing.is_reported and not is_above:
            standing.is_reported = False
            self._news.append(_build_news(market, totals, is_covered=True))

    def forget(self, market: MarketKey) -> None:
        """Drop the totals of a deployment with accounts to be read again."""
        self._standings.pop(market, None)

    def totals(self) -> Mapping[MarketKey, Sequence[DebtTotal]]:
        """Return the newest totals of each deployment."""
        return {market: standing.totals for market, standing in self._standings.items()}

    def is_uncovered(self, market: MarketKey) -> bool:
        """Whether the newest totals show more uncovered debt than the limit."""
        standing = self._standings.get(market)
        return standing is not None and standing.heads > 0

    def is_reported(self, market: MarketKey) -> bool:
        """Whether uncovered debt of a deployment is reported, so that the node is not ready."""
        standing = self._standings.get(market)
        return standing is not None and standing.is_reported

    def uncovered_usd_e8(self) -> Mapping[MarketKey, int | None]:
        """Return the worth of the uncovered debt of each deployment, None without a price."""
        return {market: sum_uncovered_usd_e8(totals) for market, totals in self.totals().items()}

    def take_news(self) -> Sequence[CoverageNews]:
        """Return the changes since the last call."""
        news, self._news = self._news, []
        return news

    def concern(self) -> str:
        """Return the reason why the node is not ready in one line, empty if all debt is covered."""
        return "; ".join(
            f"{market}: {describe_uncovered(standing.totals)}: {HINT}"
            for market, standing in self._standings.items()
            if standing.is_reported
        )

    def _is_above(self, totals: Sequence[DebtTotal]) -> bool:
        """Whether uncovered debt exceeds the limit, or has no known worth."""
        if not totals:
            return True
        worth = sum_uncovered_usd_e8(totals)
        return worth is None or worth > self.limit_usd_e8


def describe_uncovered(totals: Sequence[DebtTotal]) -> str:
    """Describe the uncovered debt, dearest token first. Empty without uncovered debt."""
    if not totals:
        return NO_TOTALS
    uncovered = sorted(
        (total for total in totals if total.uncovered),
        key=lambda total: -(total.uncovered_usd_e8 or 0),
    )
    if not uncovered:
        return ""
    worth = sum_uncovered_usd_e8(uncovered)
    dollars = "debt of unknown worth" if worth is None else f"debt of {dollars_text(worth)} USD"
    tokens = ", ".join(
        f"{_format_decimal(total.uncovered_tokens, total.decimals)} {total.symbol}"
        + (" too much" if total.uncovered < 0 else "")
        for total in uncovered
    )
    return f"{dollars} is owed by no account of the book ({tokens})"


def dollars_text(usd_e8: int) -> str:
    """Format 1e-8 dollars as dollars and cents, rounded up."""
    cents = -(-usd_e8 // _E8_PER_CENT)
    return f"{cents // _CENTS:,}.{cents % _CENTS:02}"


def _format_decimal(amount: TokenUnits, decimals: int) -> str:
    whole, part = divmod(amount, 10**decimals)
    digits = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _build_news(
    market: MarketKey, totals: Sequence[DebtTotal], *, is_covered: bool
) -> CoverageNews:
    return CoverageNews(
        market=market,
        is_covered=is_covered,
        uncovered_usd_e8=sum_uncovered_usd_e8(totals),
        detail=describe_uncovered(totals),
        hint="" if is_covered else HINT,
    )
