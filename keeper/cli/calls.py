"""``keeper calls``. Lists open margin calls with tier, age, time left and cures."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from keeper import config
from keeper.cli.addresses import refuse_no_address
from keeper.cli.asof import as_of
from keeper.cli.delivered import NO_CHANNEL, call_document, call_text
from keeper.cli.options import ConfigOption, JsonOption
from keeper.cli.output import Cell, print_json, print_line, print_table
from keeper.cli.records import read_record
from keeper.cli.words import decimal, health_text, tier_text
from keeper.config import Settings
from keeper.domain.advice import Advice, Cure, CureKind, LiquidationPrice
from keeper.domain.errors import ConfigError, EnvironmentFault, JournalError
from keeper.domain.parity import Subject
from keeper.domain.units import Wad
from keeper.domain.wording import span
from keeper.execution.control import ask, is_listening
from keeper.margin.settings import SEVERITY, Span
from keeper.margin.state import MarginState, Mark
from keeper.stages.margincalls import acknowledgement, keep_acknowledged
from keeper.storage import episodes
from keeper.storage.deliveries import Call, calls_of
from keeper.storage.episodes import OpenCall
from keeper.storage.journal import Journal, sender_of
from keeper.storage.places import MODES, file_of
from keeper.storage.pulse import Pulse, pulse

app = typer.Typer(help="List open margin calls with tier, time left and cures; acknowledge one.")

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Use the dry run's file.")]
ObserveOption = Annotated[bool, typer.Option("--observe", help="Use the observing node's file.")]
AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="An address, or its unique beginning.")
]


@app.callback(invoke_without_command=True)
def list_(
    ctx: typer.Context,
    config_file: ConfigOption = None,
    *,
    dry_run: DryRunOption = False,
    observe: ObserveOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the open calls, worst first."""
    if ctx.invoked_subcommand is not None:
        return
    settings = config.load(config_file).settings
    path = _find_journal(settings, dry_run=dry_run, observe=observe)
    board = _read(path)
    when, channels = as_of(path, board.pulse), len(settings.notify.channel)
    warnings = [] if channels else [NO_CHANNEL]
    if as_json:
        print_json(
            {
                "block_number": board.state.number,
                "timestamp": board.state.timestamp,
                "as_of": when.document,
                "calls": [_build_call_document(one, board, settings) for one in board.calls],
                "warnings": warnings,
            },
            "calls",
        )
        return
    columns = ("tier", "account", "health", "since", "grace left", "call", "cure", "seen", "market")
    print_table(columns, [_build_row(one, board, settings) for one in board.calls])
    if not board.calls:
        print_line(f"no open call at block {board.state.number}")
    for line in (*warnings, when.line):
        print_line(line)


@app.command()
def ack(
    account: AccountArgument,
    config_file: ConfigOption = None,
    *,
    dry_run: DryRunOption = False,
    observe: ObserveOption = False,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge an account's calls. No reminders until it gets worse."""
    refuse_no_address(account)
    settings = config.load(config_file).settings
    path = _find_journal(settings, dry_run=dry_run, observe=observe)
    whose = _find_account(account, _read(path).calls)
    if is_listening(path):
        _ask_node(path, whose)
        by_whom = "by the running keeper"
    else:
        _run_without_node(settings, path, whose)
        by_whom = "in the file; no keeper is running"
    if as_json:
        print_json({"account": whose, "acknowledged": True}, "calls-ack")
    else:
        print_line(f"{whose}: acknowledged, {by_whom}")


def _find_journal(settings: Settings, *, dry_run: bool, observe: bool) -> Path:
    """Return the journal of the given mode, or the first that exists."""
    if dry_run and observe:
        raise ConfigError("--dry-run and --observe exclude each other", hint="choose one")
    path = settings.journal.path
    if dry_run or observe:
        return file_of(path, "dry-run" if dry_run else "observe")
    return next((one for mode in MODES if (one := file_of(path, mode)).exists()), path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The open calls, worst first, with their deliveries and the block of the state."""

    state: MarginState
    calls: list[OpenCall]
    told: Mapping[Subject, Call]
    pulse: Pulse | None


def _read(path: Path) -> Board:
    return read_record(path, _build_open_calls)


def _build_open_calls(connection: Connection) -> Board:
    found = episodes.open_calls(connection)
    found.sort(key=lambda one: (-SEVERITY[one.standing.tier], one.standing.health or 0))
    episodes_ = [(one.market, one.account, one.standing.episode) for one in found]
    return Board(
        state=episodes.state_of(connection),
        calls=found,
        told=calls_of(connection, episodes_),
        pulse=pulse(connection),
    )


def _find_account(account: str, found: list[OpenCall]) -> str:
    """Return the single account that begins like this."""
    matching = {one.account for one in found if one.account.lower().startswith(account.lower())}
    if len(matching) == 1:
        return matching.pop()
    what = "has no open call" if not matching else f"begins {len(matching)} accounts' addresses"
    raise ConfigError(f"{account} {what}", hint="see `keeper calls`")


def _ask_node(path: Path, account: str) -> None:
    answer = ask(path, "ack", account)
    if not answer.get("ok"):
        known = {one.code: one for one in (ConfigError, JournalError)}
        error = known.get(str(answer.get("code")), EnvironmentFault)
        raise error(str(answer.get("error")), hint=str(answer.get("hint", "")))


def _run_without_node(settings: Settings, path: Path, account: str) -> None:
    journal = Journal.open(path, chain_id=settings.chain.id, sender=sender_of(path))
    try:
        asyncio.run(_record_acknowledgement(journal, account))
    finally:
        journal.close()


async def _record_acknowledgement(journal: Journal, account: str) -> None:
    await journal.record_control("ack", account, "asked, no node running")
    state = await journal.database.write(episodes.state_of)
    moment = Mark(number=state.number, timestamp=state.timestamp, wall=state.timestamp)
    after, subjects = acknowledgement(state, account, moment)
    await journal.database.write(keep_acknowledged, after, subjects)
    await journal.record_control("ack", account, "done")


def grace_left(call: OpenCall, state: MarginState, settings: Settings) -> Span | None:
    """Return the remaining grace at the newest block. None if the policy grants none.

    Below the floor's health there is no grace.
    """
    margin, entered = settings.margin(), call.standing.entered
    if call.standing.health is not None and call.standing.health < margin.floor.health:
        return None
    grace = margin.grace
    spans = [(span, entered[tier]) for tier, span in grace.items() if tier in entered]
    if not spans:
        return None
    blocks = max(since.number + span.blocks - state.number for span, since in spans)
    seconds = max(since.timestamp + span.seconds - state.timestamp for span, since in spans)
    return Span(blocks=max(0, blocks), seconds=max(0, seconds))


def _build_call_document(call: OpenCall, board: Board, settings: Settings) -> dict[str, object]:
    standing, left = call.standing, grace_left(call, board.state, settings)
    since = standing.entered.get(standing.tier) or standing.opened
    return {
        "market": call.market,
        "account": call.account,
        "tier": str(standing.tier),
        "episode": standing.episode,
        "health_factor": _to_text(standing.health),
        "guarded_health_factor": _to_text(standing.guarded),
        "health_block": call.block_number,
        "since": None if since is None else {"block": since.number, "timestamp": since.timestamp},
        "grace_left": None if left is None else {"blocks": left.blocks, "seconds": left.seconds},
        "acknowledged": standing.acknowledged is not None,
        "delivery": call_document(board.told.get((call.market, call.account))),
        "advice": None if call.advice is None else _build_advice_document(call.advice),
    }


def _build_advice_document(advice: Advice) -> dict[str, object]:
    return {
        "target": str(advice.target),
        "holds_until": advice.holds_until,
        "cures": [
            {
                "kind": str(one.kind),
                "token": one.token,
                "symbol": one.symbol,
                "amount": str(one.amount),
                "value": str(one.value),
            }
            for one in advice.cures
        ],
        "liquidation_prices": [
            {
                "token": one.token,
                "symbol": one.symbol,
                "price": str(one.price),
                "now": str(one.now),
                "move": _build_move(one),
            }
            for one in advice.prices
        ],
        "block_number": advice.block_number,
        "impossible": list(advice.impossible),
    }


def _build_move(price: LiquidationPrice) -> dict[str, object] | None:
    """Return a price's distance to the start or end of liquidation. None if unknown."""
    move = price.move
    if move is None:
        return None
    return {"bps": str(move.bps), "up": move.up, "begins": move.begins}


def _build_row(call: OpenCall, board: Board, settings: Settings) -> list[Cell]:
    state = board.state
    standing, left = call.standing, grace_left(call, state, settings)
    since = standing.entered.get(standing.tier) or standing.opened
    return [
        tier_text(standing.tier),
        call.account,
        "?" if standing.health is None else _format_health_at(standing.health, call.block_number),
        "" if since is None else _format_since(since, state),
        "-" if left is None else f"{left.blocks} blocks, {left.seconds} s",
        call_text(board.told.get((call.market, call.account))),
        "-" if call.advice is None or not call.advice.cures else _format_cure(call.advice.cures[0]),
        "yes" if standing.acknowledged else "no",
        call.market,
    ]


def _format_health_at(health: Wad, block: int) -> str:
    """Return a health factor with its block, since it is not stored in every block."""
    return f"{health_text(health)} at block {block}"


def _format_since(since: Mark, state: MarginState) -> str:
    """Return the time since a tier was entered, by the chain's clock, and its block."""
    return f"{span(max(0, state.timestamp - since.timestamp))}, block {since.number}"


def _format_cure(cure: Cure) -> str:
    verb = "add" if cure.kind is CureKind.ADD_COLLATERAL else "repay"
    return f"{verb} {decimal(cure.amount, cure.decimals)} {cure.symbol}"


def _to_text(value: int | None) -> str | None:
    return None if value is None else str(value)
