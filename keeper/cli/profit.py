"""``keeper report profit``. Reports earnings and costs, by the journal and by the chain."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from keeper.audit.earnings import Deed, Group, Sums, grouped
from keeper.cli.asof import AsOf, as_of
from keeper.cli.documents import dollars
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_table
from keeper.cli.profit_chain import Held, hold_against_chain
from keeper.cli.records import RecordOf, RecordOption, path_of, read_record, record_path
from keeper.cli.words import decimal, ether
from keeper.clock import wall
from keeper.config import Settings, load, overrides
from keeper.domain import wording
from keeper.domain.errors import ChainError, ConfigError
from keeper.domain.failure import FailureKind
from keeper.domain.units import BPS, Timestamp
from keeper.domain.wording import plural
from keeper.storage.earnings import Booked, booked, on_paper
from keeper.storage.pulse import pulse

DIFFERS_EXIT: Final = 3
_SPAN: Final = re.compile(r"(\d{1,6})([mhd])")
_SECONDS: Final[Mapping[str, int]] = {"m": 60, "h": 3_600, "d": 86_400}
_USD_DIGITS: Final = 8
_KINDS: Final[Mapping[FailureKind, str]] = {
    FailureKind.RACE: "to somebody faster",
    FailureKind.MOVED: "to a market that moved",
    FailureKind.LATE: "mined too late",
    FailureKind.DEFECT: "to a defect",
}

SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Since a date, a date and time (UTC), or for a duration: 24h, 7d.",
        show_default=False,
    ),
]
ByOption = Annotated[
    Group | None, typer.Option("--by", help="One row for each.", show_default=False)
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Use only the journal and no node.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Earnings by the journal, checked against the chain if it was read."""

    whose: RecordOf
    since: Timestamp
    group: Group | None
    found: Booked
    held: Held
    when: AsOf

    @property
    def rows(self) -> Mapping[str, Sums]:
        """The sums of each row."""
        return grouped(self.held.deals, self.group)

    @property
    def is_confirmed(self) -> bool:
        """Whether the chain was read and agrees."""
        return bool(self.held.transactions) and not self.held.differences

    @property
    def total(self) -> Sums:
        """The sums over all rows."""
        return next(iter(grouped(self.held.deals, None).values()), Sums())


def command(
    config: ConfigOption = None,
    *,
    whose: RecordOption = None,
    since: SinceOption = None,
    group: ByOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Report gross, gas, bids, lost races and net profit. Exit code 3 if the chain differs."""
    settings = load(config, overrides(override)).settings
    path = record_path(settings, whose)
    report = build_report(settings, path, since, group, offline=offline)
    warnings = warnings_of(report)
    if as_json:
        print_json(document(report) | {"warnings": warnings}, "report-profit")
    else:
        _print(report)
        for line in (*warnings, report.when.line):
            print_line(line)
    if report.held.differences:
        raise typer.Exit(DIFFERS_EXIT)


def build_report(
    settings: Settings, path: Path, since: str | None, group: Group | None, *, offline: bool
) -> Report:
    """Read a journal's earnings, and compare them with the chain unless ``offline``."""
    journal = settings.journal.path
    whose = next(one for one in RecordOf if path_of(journal, one) == path)
    read = booked if whose is RecordOf.LIVE else on_paper
    newest = read_record(path, pulse)
    clock = int(wall())
    start = _parse_since(since, clock if newest is None else newest.timestamp)
    _refuse_future(start, max(clock, clock if newest is None else newest.timestamp))
    found = read_record(path, lambda one: read(one, start))
    return Report(
        whose=whose,
        since=start,
        group=group,
        found=found,
        held=_check_against_chain(settings, found, offline=offline),
        when=as_of(path, newest),
    )


def _check_against_chain(settings: Settings, found: Booked, *, offline: bool) -> Held:
    if offline or not found.submissions:
        return Held(deals=found.deals, why_not="--offline" if found.submissions else "")
    try:
        return asyncio.run(hold_against_chain(settings, found))
    except ChainError as error:
        return Held(deals=found.deals, why_not=str(error) or error.code)


def _parse_since(text: str | None, now: int) -> Timestamp:
    """Parse the time of an option. 0 without one.

    Raises:
        ConfigError: it is no time.
    """
    if text is None:
        return Timestamp(0)
    span = _SPAN.fullmatch(text.lower())
    if span is not None:
        return Timestamp(max(0, now - int(span.group(1)) * _SECONDS[span.group(2)]))
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--since takes a time, not {text!r}", hint="2026-11-01, 2026-11-01T12:00 or 24h"
        ) from None
    start = int((stated if stated.tzinfo else stated.replace(tzinfo=UTC)).timestamp())
    return Timestamp(max(0, start))


def _refuse_future(start: Timestamp, now: int) -> None:
    """Raise ConfigError for a future time, since nothing was earned after it."""
    if start > now:
        raise ConfigError(
            f"--since {wording.moment(start)} is in the future",
            hint=f"it is {wording.moment(now)}",
        )


def warnings_of(report: Report) -> list[str]:
    """Return the caveats of the figures."""
    found, total = list[str](), report.total
    if report.whose is RecordOf.OBSERVE:
        found.append("an observing keeper sends nothing and keeps no paper")
    if report.whose is RecordOf.DRY_RUN:
        found.append("a dry run: nothing was sent, all of this is on paper")
        found += _warn_of_repeats(report)
    if report.held.why_not:
        found.append(
            f"the chain was not asked, so this is the journal's alone: {report.held.why_not}"
        )
    if report.found.pending:
        count = report.found.pending
        found.append(
            f"{count} {plural('transaction', count)} without a receipt in the journal:"
            " not in the figures"
        )
    if report.held.deals and total.bids_wei is None:
        found.append("what builders were paid is not known without the chain: gross is after it")
    if report.held.deals and total.net_usd_e8 is None:
        found.append("dollars are left out: of some transactions no price is on file")
    return found + [f"differs from the chain: {one}" for one in report.held.differences]


def _warn_of_repeats(report: Report) -> list[str]:
    counts = [(deal.market, deal.account) for deal in report.held.deals]
    again = len(counts) - len(set(counts))
    if not again:
        return []
    return [f"{again} of {len(counts)} rows are of accounts that are counted before: nobody acted"]


def document(report: Report) -> dict[str, object]:
    """Return the report as JSON, with exact wei, token units and dollars."""
    held = report.held
    return {
        "record": str(report.whose),
        "since": report.since or None,
        "by": None if report.group is None else str(report.group),
        "rows": [
            {str(report.group or "row"): name} | _build_sums(sums)
            for name, sums in report.rows.items()
        ],
        "total": _build_sums(report.total),
        "pending": report.found.pending,
        "chain": {
            "asked": bool(held.transactions),
            "transactions": held.transactions,
            "received": [
                {"token": token, "amount": str(amount)} for token, amount in held.received.items()
            ],
            "differences": list(held.differences),
        },
        "as_of": report.when.document,
    }


def _build_sums(sums: Sums) -> dict[str, object]:
    return {
        "liquidations": sums.done[Deed.LIQUIDATION],
        "clearings": sums.done[Deed.CLEARING],
        "cures": sums.done[Deed.CURE],
        "gross_wei": str(sums.gross_wei),
        "gross_usd": _to_usd(sums.gross_usd_e8),
        "gas_wei": str(sums.gas_wei),
        "gas_usd": _to_usd(sums.gas_usd_e8),
        "tips_wei": _to_text(sums.tips_wei),
        "bids_wei": _to_text(sums.bids_wei),
        "bids_usd": _to_usd(sums.bids_usd_e8),
        "net_wei": str(sums.net_wei),
        "net_usd": _to_usd(sums.net_usd_e8),
        "predicted_wei": str(sums.predicted_wei),
        "realised_wei": str(sums.realised_wei),
        "received": [
            {"token": token, "amount": str(amount)}
            for token, amount in sorted(sums.received.items())
        ],
        "lost": {
            "plans": sums.lost,
            "gas_wei": str(sums.lost_gas_wei),
            "gas_usd": _to_usd(sums.lost_gas_usd_e8),
            "kinds": {str(kind): count for kind, count in sorted(sums.kinds.items())},
            "reasons": dict(sorted(sums.reasons.items())),
        },
    }


def _print(report: Report) -> None:
    if report.since:
        print_line(f"since {wording.moment(report.since)}:")
    if not report.held.deals:
        print_line("nothing was earned, and nothing was spent")
        return
    rows = list(report.rows.items()) if report.group is not None else []
    named = [(_format_name(report, name), sums) for name, sums in rows]
    heading = str(report.group or "")
    columns = (
        heading, "liquidations", "gross, ETH", "gas, ETH", "bids, ETH", "lost, ETH",
        "net, ETH", "net, USD", "predicted, ETH", "realised",
    )  # fmt: skip
    print_table(
        columns, [_build_cells(name, sums) for name, sums in (*named, ("total", report.total))]
    )
    for line in (*_format_other_actions(report.total), *_format_received(report)):
        print_line(line)
    if report.is_confirmed:
        count = report.held.transactions
        print_line(f"{count} {plural('transaction', count)} held against the chain: no difference")


def _build_cells(name: str, sums: Sums) -> Sequence[str]:
    return (
        name,
        str(sums.done[Deed.LIQUIDATION]),
        ether(sums.gross_wei),
        ether(sums.gas_wei),
        ether(sums.bids_wei),
        f"{sums.lost}: {ether(sums.lost_gas_wei)}",
        ether(sums.net_wei),
        _format_usd(sums.net_usd_e8),
        ether(sums.predicted_wei),
        _format_share(sums.realised_wei, sums.predicted_wei),
    )


def _format_other_actions(sums: Sums) -> list[str]:
    clearings, cures = sums.done[Deed.CLEARING], sums.done[Deed.CURE]
    found = [f"and {clearings} {plural('clearing', clearings)}"] if clearings else []
    found += [f"and {cures} {plural('cure', cures)}"] if cures else []
    if sums.lost:
        kinds = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in sums.kinds.most_common())
        reasons = ", ".join(f"{count} x {why}" for why, count in sums.reasons.most_common())
        found.append(f"lost: {kinds} ({reasons})")
    if sums.tips_wei is not None and sums.tips_wei:
        found.append(f"of the gas {ether(sums.tips_wei)} ETH were priority fees")
    return found


def _format_received(report: Report) -> list[str]:
    """Return the receiver's income, one line per token."""
    tokens = report.held.tokens
    word = "would have got" if report.whose is RecordOf.DRY_RUN else "got"
    if report.whose is RecordOf.LIVE and not report.is_confirmed:
        word = "got, by the journal alone,"
    return [
        f"the receiver {word} {decimal(amount, known.decimals)} {known.symbol}"
        if (known := tokens.get(token)) is not None
        else f"the receiver {word} {amount} units of {token}"
        for token, amount in sorted(report.total.received.items())
    ]


def _format_name(report: Report, name: str) -> str:
    if report.group is not Group.TOKEN:
        return name
    known = next((one for token, one in report.held.tokens.items() if token == name), None)
    return name if known is None else f"{known.symbol} ({name})"


def _format_share(part: int, whole: int) -> str:
    """Format a part as percent of a whole, rounded to a hundredth. "-" of zero."""
    if whole <= 0:
        return "-"
    hundredths = (2 * part * BPS + whole) // (2 * whole)
    return f"{decimal(hundredths, 2, 2)} %"


def _format_usd(usd_e8: int | None) -> str:
    return "?" if usd_e8 is None else decimal(usd_e8, _USD_DIGITS, 2)


def _to_usd(usd_e8: int | None) -> str | None:
    """Return dollars as an exact decimal. None if a price is unknown."""
    return None if usd_e8 is None else dollars(usd_e8)


def _to_text(value: int | None) -> str | None:
    return None if value is None else str(value)
