"""``keeper tx``. Lists the journal's nonces and attempts. Changes go through the running node."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from keeper import config
from keeper.cli.asof import learn_as_of
from keeper.cli.options import ConfigOption, JsonOption
from keeper.cli.output import Cell, print_json, print_line, print_table
from keeper.cli.tx_words import accounts_text, expected_text, lines, realised_text, state_text
from keeper.cli.words import ether
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.domain.submission import Attempt, NonceState, Submission
from keeper.execution.control import ask
from keeper.execution.described import described
from keeper.storage import database
from keeper.storage.submissions import submissions_in
from keeper.storage.telling import Told, told

app = typer.Typer(no_args_is_help=True, help="Transactions: list, show, bump, cancel.")

NonceArgument = Annotated[int, typer.Argument(min=0, metavar="NONCE", help="The nonce.")]


@app.command("list")
def list_(
    config_file: ConfigOption = None,
    *,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show the newest N.")] = 50,
) -> None:
    """List nonces, newest first, with accounts, profit, gas and state."""
    path = _find_journal(config_file)
    found, when = _read(path, limit), learn_as_of(path)
    if as_json:
        document = {"transactions": [_build_document(one) for one in found], "as_of": when.document}
        print_json(document, "tx-list")
        return
    columns = (
        "nonce", "expected, ETH", "realised, ETH", "gas, ETH", "state", "accounts", "hash",
    )  # fmt: skip
    print_table(columns, [_build_row(one) for one in found])
    if not found:
        print_line("the journal has no transaction")
    print_line(when.line)


@app.command()
def show(
    which: Annotated[str, typer.Argument(metavar="NONCE|HASH", help="A nonce or a hash.")],
    config_file: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show a nonce with intents, attempts, answers, receipts and profit."""
    journal = _find_journal(config_file)
    found = [one for one in _read(journal, None) if _is(one, which.lower())]
    if not found:
        raise ConfigError(f"the journal has no transaction {which}", hint="see `keeper tx list`")
    more, when = _read_details(journal, found[0].nonce), learn_as_of(journal)
    if as_json:
        document = _build_document(found[0]) | {"call": described(found[0].newest.calldata)}
        print_json(document | more | {"as_of": when.document}, "tx-show")
        return
    for line in (*lines(found[0], more), when.line):
        print_line(line)


@app.command()
def bump(
    nonce: NonceArgument, config_file: ConfigOption = None, *, as_json: JsonOption = False
) -> None:
    """Replace a pending transaction by the same one with higher fees."""
    _send_action(_find_journal(config_file), "bump", nonce, as_json=as_json)


@app.command()
def cancel(
    nonce: NonceArgument, config_file: ConfigOption = None, *, as_json: JsonOption = False
) -> None:
    """Replace a pending transaction by an empty one (cancel it)."""
    _send_action(_find_journal(config_file), "cancel", nonce, as_json=as_json)


def _find_journal(config_file: Path | None) -> Path:
    return config.load(config_file).settings.journal.path


def _read(path: Path, limit: int | None) -> list[Submission]:
    engine = database.reader(path)
    newest = limit if limit is not None else 2**31
    try:
        return database.read(
            engine, lambda one: submissions_in(one, tuple(NonceState), newest=newest)
        )
    finally:
        engine.dispose()


def _read_details(path: Path, nonce: int) -> dict[str, list[Told]]:
    engine = database.reader(path)
    try:
        return database.read(engine, lambda one: told(one, nonce))
    finally:
        engine.dispose()


def _send_action(journal: Path, action: str, nonce: int, *, as_json: bool) -> None:
    answer = ask(journal, action, str(nonce))
    if not answer.get("ok"):
        error = ConfigError if answer.get("code") == ConfigError.code else EnvironmentFault
        raise error(str(answer.get("error")), hint=str(answer.get("hint", "")))
    if as_json:
        print_json({"nonce": nonce, "action": action, "hash": answer["result"]}, "tx-change")
    else:
        print_line(f"nonce {nonce}: {answer['result']}")


def _build_row(one: Submission) -> Sequence[Cell]:
    mined = one.inclusion
    return (
        str(one.nonce),
        expected_text(one),
        realised_text(one),
        "-" if mined is None else ether(mined.gas_cost),
        state_text(one),
        accounts_text(one),
        mined.hash if mined is not None else one.newest.hash,
    )


def _is(submission: Submission, which: str) -> bool:
    return which == str(submission.nonce) or any(one.hash == which for one in submission.attempts)


def _build_document(submission: Submission) -> dict[str, object]:
    batch, inclusion = submission.batch, submission.inclusion
    return {
        "nonce": submission.nonce,
        "state": str(submission.state),
        "hash": inclusion.hash if inclusion else submission.newest.hash,
        "accounts": [
            {"market": market, "account": account} for market, account in submission.accounts
        ],
        "expected_profit_wei": None if batch is None else str(batch.net_profit),
        "net_profit_wei": None if inclusion is None else str(inclusion.net_profit),
        "attempts": [_build_attempt(one) for one in submission.attempts],
        "receipt": None
        if inclusion is None
        else {
            "success": inclusion.success,
            "block_number": inclusion.block_number,
            "block_hash": inclusion.block_hash,
            "gas_used": str(inclusion.gas_used),
            "gas_price_wei": str(inclusion.effective_gas_price),
            "gas_cost_wei": str(inclusion.gas_cost),
        },
        "outcomes": [
            {
                "market": plan.market,
                "account": plan.account,
                "token": plan.token,
                "profit": str(plan.profit),
                "profit_wei": str(plan.profit_wei),
                "failure": plan.failure,
            }
            for plan in (inclusion.plans if inclusion else ())
        ],
    }


def _build_attempt(one: Attempt) -> dict[str, object]:
    return {
        "kind": str(one.kind),
        "hash": one.hash,
        "state": str(one.state),
        "max_fee_wei": str(one.fees.max_fee),
        "priority_fee_wei": str(one.fees.priority_fee),
        "gas_limit": str(one.gas_limit),
        "block_number": one.block_number,
    }
