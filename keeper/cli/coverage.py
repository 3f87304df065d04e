"""Coverage of debt as text and JSON for scan, doctor and the audit of the book."""

from collections.abc import Mapping, Sequence

from keeper.book.coverage import HINT, DebtCoverage, describe_uncovered, dollars_text
from keeper.cli.findings import Finding, Level, ok, warn
from keeper.domain.coverage import DebtTotal, sum_uncovered_usd_e8
from keeper.domain.units import MarketKey
from keeper.domain.wording import plural


def coverage_document(coverage: DebtCoverage) -> dict[str, object]:
    """Return the coverage as JSON. Amounts are decimal strings, null without a price."""
    totals = [total for market in coverage.totals().values() for total in market]
    worth = sum_uncovered_usd_e8(totals)
    return {
        "uncovered_usd_e8": None if worth is None else str(worth),
        "limit_usd_e8": str(coverage.limit_usd_e8),
        "totals": [_build_total_document(total) for total in totals],
    }


def coverage_lines(coverage: DebtCoverage) -> list[str]:
    """Return a line for each deployment, with the hint if debt is uncovered."""
    return [
        f"{market}: {_format_summary(totals)}"
        + (f": {HINT}" if coverage.is_uncovered(market) else "")
        for market, totals in coverage.totals().items()
    ]


def uncovered_lines(coverage: DebtCoverage) -> list[str]:
    """Return a line for each deployment with uncovered debt, with the hint."""
    return [
        f"warning: {market}: {_format_summary(totals)}: {HINT}"
        for market, totals in coverage.totals().items()
        if coverage.is_uncovered(market)
    ]


def coverage_findings(coverage: DebtCoverage, markets: Sequence[MarketKey]) -> list[Finding]:
    """Return doctor's finding on each deployment's coverage."""
    return [_build_finding(coverage, market, coverage.totals()) for market in markets]


def _build_finding(
    coverage: DebtCoverage, market: MarketKey, totals: Mapping[MarketKey, Sequence[DebtTotal]]
) -> Finding:
    what = f"coverage of {market}"
    if market not in totals:
        return warn(what, "not known: its contracts state no totals, or could not be read")
    worth = sum_uncovered_usd_e8(totals[market])
    figures = {"uncovered_usd_e8": "unknown" if worth is None else str(worth)}
    summary = _format_summary(totals[market])
    if not any(total.uncovered for total in totals[market]):
        return ok(what, summary, figures)
    level = Level.FAIL if coverage.is_uncovered(market) else Level.WARN
    return Finding(level=level, what=what, detail=summary, fix=HINT, figures=figures)


def _format_summary(totals: Sequence[DebtTotal]) -> str:
    """Return a deployment's coverage in one line."""
    count = f"{len(totals)} {plural('total', len(totals))}"
    values = [total.stated_usd_e8 for total in totals]
    worth = sum(value for value in values if value is not None)
    debt = f"debt of {dollars_text(worth)} USD in {count}"
    exceptions = dict.fromkeys(total.exception for total in totals if total.exception)
    besides = "".join(f"; not counted: {exception}" for exception in exceptions)
    uncovered = describe_uncovered(totals)
    if uncovered:
        return f"{uncovered}, of {debt}{besides}"
    return f"the accounts of the book owe all {debt}, equal to the unit{besides}"


def _build_total_document(total: DebtTotal) -> dict[str, object]:
    worth = total.uncovered_usd_e8
    document: dict[str, object] = {
        "market": total.market,
        "token": total.token,
        "symbol": total.symbol,
        "stated": str(total.stated),
        "known": str(total.known),
        "uncovered": str(total.uncovered),
        "uncovered_usd_e8": None if worth is None else str(worth),
    }
    return document | ({"exception": total.exception} if total.exception else {})
