"""Doctor's checks, in the order of their dependencies."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from keeper.abilities import StatesStrangerRisk
from keeper.cli import executor_work, key_work, vault_work
from keeper.cli.coverage import coverage_findings
from keeper.cli.doctor_beginnings import beginning_findings
from keeper.cli.doctor_endpoints import endpoints
from keeper.cli.doctor_probe import probed
from keeper.cli.findings import Finding, fail, failed, ok, warn
from keeper.cli.here import Here, here, wallet_key
from keeper.cli.progress import telling
from keeper.cli.settings import about_telling
from keeper.cli.strangers import find_strangers
from keeper.composition.probing import HEADS
from keeper.composition.wallet import hot_address
from keeper.config import Loaded, Settings, SettingsInvalid, load
from keeper.domain.errors import ConfigError, KeeperError
from keeper.domain.units import MAX_TRANSACTION_GAS, Address
from keeper.execution.signer import checked_key
from keeper.exposure import find_exposures
from keeper.packed import packed_file
from keeper.ports import DescribesItself, LendingMarket, MarketSnapshot
from keeper.storage.database import reader as journal_reader

MIN_FREE_MIB: Final = 200
MAX_HEAD_AGE_BLOCKS: Final = 10
_NAME_MARKETS: Final = "name markets; or oracles or oracle_factories, with both kinds of tokens"
_BESIDE: Final = ("-wal", "-shm", ".lock", ".sock", ".old", ".visit")
"""What the name of a file beside the journal or the book ends with."""


async def examined(
    config: Path | None, overrides: Mapping[str, str], heads: int = HEADS
) -> list[Finding]:
    """Run all checks. Checks that depend on a failed one are left out.

    Each endpoint is probed over this number of heads.
    """
    found = [_check_python(), *_check_packages()]
    try:
        loaded = load(config, overrides)
    except ConfigError as error:
        return [*found, failed("settings", error)]
    found += [
        ok("settings", str(loaded.path)),
        *_check_files(loaded),
        _check_journal(loaded.settings),
    ]
    found += _check_notifications(loaded.settings)
    probe = partial(probed, loaded.settings, _find_sender(loaded.settings), heads)
    found += await endpoints(loaded.settings.chain, probe)
    try:
        async with here(loaded.settings) as place:
            found += await _check_chain(place)
    except KeeperError as error:
        found.append(failed("chain", error))
    return found


def _find_sender(settings: Settings) -> Address | None:
    """Return the hot key's address. An invalid key has its own finding."""
    try:
        return hot_address(settings)
    except KeeperError:
        return None


def _check_python() -> Finding:
    return ok("python", f"{platform.python_version()} at {sys.executable}")


def _check_packages() -> list[Finding]:
    """Compare the installed packages with the pinned versions."""
    wanted, found = _read_pinned(), list[Finding]()
    for name, version in sorted(wanted.items()):
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(fail("packages", f"{name} is not installed", "scripts/setup"))
            continue
        if installed != version:
            found.append(warn("packages", f"{name} is {installed}, not {version}", "scripts/setup"))
    return found or [ok("packages", f"{len(wanted)} as locked")]


def _read_pinned() -> dict[str, str]:
    lock = packed_file("requirements", "run.txt")
    if not lock.is_file():
        return {}
    lines = [line for line in lock.read_text().splitlines() if line[:1].isalnum()]
    everywhere = [line.split()[0] for line in lines if ";" not in line]
    return {name: version for name, _, version in (line.partition("==") for line in everywhere)}


def _check_files(loaded: Loaded) -> list[Finding]:
    """Check which other users can access the settings' files and the keeper's files."""
    parts = [warning.partition("; ") for warning in loaded.warnings]
    found = [warn("files", problem, hint) for problem, _, hint in parts]
    found += [
        warn("files", f"{path}: {exposure.problem}", exposure.hint)
        for path in _list_private_files(loaded.settings)
        for exposure in find_exposures(path)
    ]
    keystore = loaded.settings.wallet.keystore
    if keystore is not None and not keystore.is_file():
        found.append(fail("files", f"the keystore {keystore} is missing", "keeper key new"))
    return found or [ok("files", "private")]


def _list_private_files(settings: Settings) -> list[Path]:
    """Return the files that no other user should access, besides the settings' own."""
    wallet, journal, book = settings.wallet, settings.journal.path, settings.book_path
    written = [path for path in (journal, book) if path is not None]
    beside = [path.with_name(path.name + end) for path in written for end in _BESIDE]
    named = [wallet.keystore, wallet.password_file, settings.notify.subscriptions]
    return [path for path in (*named, *written, *beside) if path is not None]


def _check_journal(settings: Settings) -> Finding:
    path = settings.journal.path
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        return fail("journal", f"the folder of {path} cannot be written", "make it, or chmod")
    free = shutil.disk_usage(path.parent).free >> 20
    if free < MIN_FREE_MIB:
        return fail("journal", f"{free} MiB free beside {path}", "make room")
    if not path.exists():
        return ok("journal", f"{path} will be made")
    try:
        journal_reader(path).dispose()
    except KeeperError as error:
        return failed("journal", error)
    return ok("journal", str(path))


def _check_notifications(settings: Settings) -> list[Finding]:
    """Check channels and subscriptions without sending a message."""
    problems, notify = about_telling(settings), settings.notify
    if problems:
        return [fail("notifications", str(one), one.hint) for one in problems]
    if not notify.channel:
        return [warn("notifications", "nobody is told of anything", "add a [[notify.channel]]")]
    names = ", ".join(one.name for one in notify.channel)
    return [ok("notifications", f"channels {names}; `keeper notify test` tries them")]


async def _check_chain(place: Here) -> list[Finding]:
    """Check markets, venues, executors and the key, all at one block."""
    found: list[Finding] = []
    if place.head.gas_limit < MAX_TRANSACTION_GAS:
        found.append(warn("blocks", f"gas limit {place.head.gas_limit}", "batches will be smaller"))
    readable = True
    for market in place.session.markets:
        one = await _check_market(place, market)
        found += one
        readable = readable and all(finding.level.value != "fail" for finding in one)
    if readable:
        found += await _check_coverage(place)
    found += await _check_addresses(place)
    found += await _check_wrapped_native(place)
    wallet, of_wallet = await _check_wallet(place)
    found += of_wallet
    if readable:
        found += await _check_executors(place, wallet)
        found += await _check_vault(place, wallet)
    return found


async def _check_market(place: Here, market: LendingMarket) -> list[Finding]:
    what = f"market {market.key}"
    try:
        await market.discover(place.head)
        snapshots = await place.snapshots(market)
    except KeeperError as error:
        return [failed(what, error)]
    priced = {token for snapshot in snapshots for token in snapshot.prices}
    warnings = dict.fromkeys(line for snapshot in snapshots for line in snapshot.warnings)
    found = [ok(what, f"{len(priced)} tokens have prices")]
    if isinstance(market, StatesStrangerRisk) and market.stranger_risk:
        found.append(warn(what, market.stranger_risk, _NAME_MARKETS))
    found += [warn(what, warning, "its accounts are left alone") for warning in warnings]
    found += [
        warn(what, fact.text, fact.concern) if fact.concern else ok(what, fact.text)
        for snapshot in snapshots
        if isinstance(snapshot, DescribesItself)
        for fact in snapshot.facts()
    ]
    return [*found, *await beginning_findings(place, market, what)]


async def _check_coverage(place: Here) -> list[Finding]:
    """Compare the debts of all known accounts with the contracts' totals."""
    try:
        with telling() as tell:  # without a kept book it is a whole history
            _, snapshots = await place.session.at(None, tell)
    except KeeperError as error:
        return [failed("coverage", error)]
    markets = [market.key for market in place.session.markets]
    found = coverage_findings(place.session.follower.coverage, markets)
    return [*found, *_check_unmatched(place, snapshots)]


def _check_unmatched(place: Here, snapshots: Sequence[MarketSnapshot]) -> list[Finding]:
    """Return settings that match nothing in any market, such as mistyped names."""
    found = find_strangers(place.settings, snapshots)
    return [(fail if one.is_void else warn)(one.what, one.detail, one.fix) for one in found]


async def _check_addresses(place: Here) -> list[Finding]:
    """Return the settings' addresses without a contract, which `keeper run` refuses."""
    try:
        await place.session.refuse_without_code(place.head)
    except SettingsInvalid as error:
        return [fail("addresses", str(problem), problem.hint) for problem in error.problems]
    except KeeperError as error:
        return [failed("addresses", error)]
    return [ok("addresses", "a contract at each")]


async def _check_wrapped_native(place: Here) -> list[Finding]:
    try:
        return [ok("wrapped native coin", await place.wrapped_native())]
    except KeeperError as error:
        return [failed("wrapped native coin", error)]


async def _check_wallet(place: Here) -> tuple[Address | None, list[Finding]]:
    wallet = place.settings.wallet
    if wallet.private_key is None and wallet.keystore is None:
        return None, [warn("key", "none is configured", "enough for --dry-run and --observe")]
    try:
        key = wallet_key(wallet)
        return checked_key(key), await key_work.findings(place, key)
    except KeeperError as error:
        return None, [failed("key", error)]


async def _check_vault(place: Here, wallet: Address | None) -> list[Finding]:
    try:
        return await vault_work.findings(place, place.settings, wallet)
    except KeeperError as error:
        return [failed("vault", error)]


async def _check_executors(place: Here, wallet: Address | None) -> list[Finding]:
    if not place.settings.executor:
        return [
            warn("executor", "none is configured", "enough for --dry-run; keeper executor deploy")
        ]
    found: list[Finding] = []
    for executor in place.settings.executor:
        try:
            found += await executor_work.findings(place, executor.address, wallet)
        except KeeperError as error:
            found.append(failed(f"executor {executor.name}", error))
    return found
