"""``keeper explain``: why an account was, or was not, liquidated."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from keeper.app import explained
from keeper.chain.abi import checksum
from keeper.cli.addresses import refuse_no_address
from keeper.cli.asof import learn_as_of
from keeper.cli.blocks import BlockOption, parse_block, parse_number
from keeper.cli.coverage import uncovered_lines
from keeper.cli.here import thresholds
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_note
from keeper.cli.progress import telling
from keeper.cli.recorded import (
    markets_of,
    on_record,
    past_of,
    recorded_stories,
    remembered,
)
from keeper.cli.records import RecordOption, record_path
from keeper.cli.story import Story, Undecided, Verdict, document, told
from keeper.composition.operators import read_operators_along
from keeper.composition.session import Session, opened
from keeper.config import Settings, load, overrides
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.errors import ChainError, ConfigError, RpcRefused
from keeper.domain.head import Basis, BlockName, Head
from keeper.domain.units import Address, TokenUnits
from keeper.execution.signer import LOCAL_CHAINS
from keeper.ports import MarketSnapshot
from keeper.stages.restraining import policy_of

ADDRESS_LENGTH = 42


def command(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="An address, or its unique beginning.")
    ],
    config: ConfigOption = None,
    *,
    block: BlockOption = None,
    recorded: Annotated[
        bool,
        typer.Option("--recorded", help="Use only the record and no node, also with --block."),
    ] = False,
    whose: RecordOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Show an account's history, and why it was liquidated or skipped."""
    named, number = parse_block(block), parse_number(block) if recorded else None
    settings = load(config, overrides(override)).settings
    path = record_path(settings, whose)
    if whose is not None and not recorded and not path.is_file():
        print_note(f"there is no record at {path}: what follows is by the node alone")
    if recorded:
        stories: Sequence[Story | Undecided] = recorded_stories(
            path, account.strip(), number, thresholds(settings)
        )
    else:
        stories = _build_stories(settings, account.strip(), named, path, quiet=as_json)
    when = learn_as_of(path) if recorded else None
    if as_json:
        document_ = {"stories": [document(one) for one in stories]}
        print_json(document_ | ({} if when is None else {"as_of": when.document}), "explain")
        return
    for line in told(stories):
        print_line(line)
    if when is not None:
        print_line(f"the record: {when.line}")


def _build_stories(
    settings: Settings, wanted: str, block: BlockName, path: Path, *, quiet: bool
) -> list[Story]:
    """Build the stories from the node. If it lacks the state, the error has a remedy."""
    try:
        return asyncio.run(_fetch_stories(settings, wanted, block, path, quiet=quiet))
    except ChainError as error:
        if block is None:
            raise
        raise type(error)(
            str(error), hint="--recorded asks no node; else one is needed that keeps that block"
        ) from None


async def _fetch_stories(
    settings: Settings, wanted: str, block: BlockName, path: Path, *, quiet: bool
) -> list[Story]:
    async with opened(settings) as session:
        operators = read_operators_along(session)
        with telling(quiet=quiet) as tell:
            head, snapshots = await session.at(block, tell)
        for line in uncovered_lines(session.follower.coverage):
            print_note(line)
        account = _find_account(wanted, snapshots, path)
        margin = settings.margin(both_clocks=settings.chain.id not in LOCAL_CHAINS)
        policy = await policy_of(margin, remembered(path), head, snapshots, account)
        decided = await explained(
            session, head, snapshots, account, restraint=policy.restraint, operators=operators
        )
        past = past_of(path, account, head.number)
        quoted = [await _fetch_quote(session, one, head) for one in decided.decisions]
        return [
            Story(
                head=head,
                snapshot=snapshot,
                account=account,
                health=snapshot.account(account),
                verdicts=tuple(
                    Verdict(decision=one, quoted=said)
                    for one, said in zip(decided.decisions, quoted, strict=True)
                    if one.market == snapshot.market
                ),
                past=tuple(one for one in past if snapshot.market in markets_of(one)),
                thresholds=thresholds(settings),
                policy=policy.basis,
                is_policy_left_out=policy.is_left_out,
            )
            for snapshot in snapshots
        ]


async def _fetch_quote(session: Session, decision: Decision, head: Head) -> TokenUnits | None:
    """Fetch the proceeds of the whole sale from the venue's own quoter."""
    if not isinstance(decision, Liquidate) or not decision.plan.route.hops:
        return None
    plan = decision.plan
    for venue in session.venues:
        if venue.kind == plan.route.venue:
            with contextlib.suppress(RpcRefused):
                basis = Basis(block_hash=head.hash)
                return await venue.confirmed(plan.route, plan.receive, basis)
    return None


def _find_account(wanted: str, snapshots: Sequence[MarketSnapshot], path: Path) -> Address:
    """Find the account by its address or the beginning of one.

    A liquidated account has no debt any more. If no debtor's address begins so, the record's
    accounts are searched.

    Raises:
        ConfigError: it is no address, or matches several or none of the accounts.
    """
    lowered = refuse_no_address(wanted)
    known = {one.account for snapshot in snapshots for one in snapshot.accounts()}
    if not any(one.lower().startswith(lowered) for one in known):
        known = on_record(path, lowered)
    found = sorted(one for one in known if one.lower().startswith(lowered))
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise ConfigError(
            f"{wanted} begins {len(found)} accounts", hint=f"for example {found[0]} or {found[1]}"
        )
    if len(lowered) == ADDRESS_LENGTH:
        return checksum(wanted)
    raise ConfigError(
        f"no account with debt, or on record, begins with {wanted}", hint="see `keeper scan --all`"
    )
