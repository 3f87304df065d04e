"""``keeper report``. Reports fairness and profit from the record."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from sqlalchemy import Connection

from keeper.audit.fairness import Breach, Row, Watcher, rows
from keeper.cli import profit
from keeper.cli.asof import learn_as_of
from keeper.cli.delivered import NO_CHANNEL
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_note, print_table
from keeper.cli.plots import checked_plot, points
from keeper.cli.reasons import in_words
from keeper.cli.records import RecordOption, read_record, record_path
from keeper.config import load, overrides
from keeper.domain.wording import plural
from keeper.storage.record import entries_of_kinds, texts_like

app = typer.Typer(help="Report fairness and profit.")
app.command("profit")(profit.command)

BY_PROFIT: Final = "by net profit, highest first; equal ones by address"
BY_RANK: Final = "by the policy's rank (largest bad-debt risk first); equal ones by net profit"

_KINDS: Final = ("decision", "call", "episode", "outcome", "delivery")
_USD_E8: Final = 10**8


@app.command("fairness")
def fairness(
    config: ConfigOption = None,
    *,
    whose: RecordOption = None,
    as_json: JsonOption = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it as .png or .svg.")
    ] = None,
    override: SetOption = None,
) -> None:
    """Report the time from breach to call and to action, by size of debt."""
    target = None if plot is None else checked_plot(plot)
    settings = load(config, overrides(override)).settings
    path = record_path(settings, whose)
    breaches, rules = read_record(path, _read)
    found, when = rows(breaches), learn_as_of(path)
    warnings = _list_warnings(breaches, len(settings.notify.channel))
    if target is not None:
        _draw(target, breaches)
    if as_json:
        print_json(
            document(found, breaches, rules) | {"as_of": when.document, "warnings": warnings},
            "report-fairness",
        )
    else:
        _print(found, rules)
        say = print_line if found else print_note
        for warning in (*warnings, when.line):
            say(warning)


def _list_warnings(breaches: Sequence[Breach], channels: int) -> list[str]:
    """Return the reasons why due calls may not have been read."""
    found = list[str]()
    due = sum(bool(one.calls) for one in breaches)
    alone = sum(one.had_no_channel for one in breaches)
    unknown = sum(
        bool(one.calls) and one.delivered_at is None and one.calls[0].channels is None
        for one in breaches
    )
    if not channels:
        found.append(NO_CHANNEL)
    if alone:
        found.append(
            f"{alone} of {due} breaches with a call due: at each of their calls no channel was"
            " configured"
        )
    if unknown:
        found.append(
            f"{unknown} of {due} breaches with a call due: their calls are of a version that kept"
            " no deliveries, and count as due"
        )
    return found


def _read(connection: Connection) -> tuple[list[Breach], dict[str, int]]:
    """Read the recorded breaches, and the number of blocks per ordering rule."""
    watcher = Watcher()
    watcher.read(entries_of_kinds(connection, *_KINDS))
    rules: Counter[str] = Counter()
    for text in texts_like(connection, '%"restraint":%'):
        document = json.loads(text)
        if document.get("simulations"):  # else nobody was taken, in no order
            rules[BY_RANK if document["restraint"]["ranks"] else BY_PROFIT] += 1
    return watcher.breaches, dict(rules)


def document(
    found: Sequence[Row], breaches: Sequence[Breach], rules: Mapping[str, int]
) -> dict[str, object]:
    """Return the report as JSON. Seconds are numbers.

    ``called`` counts accounts with a delivered call, ``due`` those with a due one.
    ``seconds_to_call`` is the time until it was due, ``seconds_to_delivery`` until a channel
    accepted it.
    """
    return {
        "sizes": [
            {
                "debt": one.size,
                "breaches": one.breaches,
                "due": one.due,
                "called": one.delivered,
                "without_channel": one.without_channel,
                "acted": one.acted,
                "seconds_to_call": {
                    "median": one.to_due_median,
                    "percentile_90": one.to_due_slowest_tenth,
                },
                "seconds_to_delivery": {
                    "median": one.to_delivery_median,
                    "percentile_90": one.to_delivery_slowest_tenth,
                },
                "seconds_to_action": {
                    "median": one.to_action_median,
                    "percentile_90": one.to_action_slowest_tenth,
                },
                "left_alone": dict(one.left_alone),
            }
            for one in found
        ],
        "ordered": [{"rule": rule, "blocks": blocks} for rule, blocks in rules.items()],
        "breaches": [
            {
                "market": one.subject[0],
                "account": one.subject[1],
                "since_block": one.since_block,
                "since": one.since,
                "debt_usd_e8": None if one.debt_usd_e8 is None else str(one.debt_usd_e8),
                "seconds_to_call": one.to_call,
                "seconds_to_delivery": one.to_delivery,
                "channels": list(one.channels),
                "seconds_to_action": one.to_action,
                "end": str(one.end),
            }
            for one in breaches
        ],
    }


def _print(found: Sequence[Row], rules: Mapping[str, int]) -> None:
    if not found:
        print_line("no account that crossed the line is on record")
        return
    columns = (
        "debt", "breaches", "calls due", "to due", "delivered", "to delivery", "acted",
        "to action", "left alone",
    )  # fmt: skip
    print_table(
        columns,
        [
            (
                one.size,
                str(one.breaches),
                str(one.due),
                _format_times(one.to_due_median, one.to_due_slowest_tenth),
                str(one.delivered),
                _format_times(one.to_delivery_median, one.to_delivery_slowest_tenth),
                str(one.acted),
                _format_times(one.to_action_median, one.to_action_slowest_tenth),
                "; ".join(f"{count}: {in_words(why)}" for why, count in one.left_alone.items()),
            )
            for one in found
        ],
    )
    print_line("times from breach on: median / 90th percentile, in seconds; less than 0 is before")
    print_line(
        "breach: the record first has the account past the line; by the blocks' own times, so how"
        " late this keeper read a block is not counted"
    )
    print_line(
        "delivered: a configured channel took it; whether that is the account's own, and whether"
        " somebody read it, is not known"
    )
    print_line(
        "acted: a liquidation was decided, or is on the chain; not each of them went through"
    )
    if any(one.left_alone for one in found):
        print_line("left alone: not acted on, by the reason that was given most often")
    for rule, blocks in rules.items():
        print_line(f"in {blocks} {plural('block', blocks)} accounts were taken {rule}")


def _format_times(median: int | None, slowest: int | None) -> str:
    return "-" if median is None else f"{median} / {slowest}"


def _draw(target: Path, breaches: Sequence[Breach]) -> None:
    known = [one for one in breaches if one.debt_usd_e8]
    series = {
        "to first call due": [(one.debt_usd_e8, one.to_call) for one in known],
        "to first call delivered": [(one.debt_usd_e8, one.to_delivery) for one in known],
        "to action": [(one.debt_usd_e8, one.to_action) for one in known],
    }
    points(
        target,
        "From breach to call and to action, by debt",
        ("debt in USD", "seconds from breach"),
        {
            title: [(debt / _USD_E8, float(s)) for debt, s in each if debt and s is not None]
            for title, each in series.items()
        },
    )
