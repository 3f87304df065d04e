"""Context of a command with the chain, the markets and the key of the settings."""

import contextlib
import getpass
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from keeper.chain.reader import NodeReader
from keeper.composition.session import Session, opened
from keeper.config import Settings, Wallet
from keeper.domain.errors import ChainError, ConfigError
from keeper.domain.head import Basis, Head
from keeper.domain.units import Address
from keeper.execution import keystore
from keeper.exposure import find_exposures
from keeper.ports import ExecutorTargets, LendingMarket, MarketSnapshot, TargetsExecutor
from keeper.risk.tiers import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A session and the one block that a command reads at."""

    session: Session
    head: Head

    @property
    def settings(self) -> Settings:
        """The settings in effect."""
        return self.session.settings

    @property
    def reader(self) -> NodeReader:
        """The chain reader."""
        return self.session.reader

    @property
    def basis(self) -> Basis:
        """The block that reads are pinned to."""
        return Basis(block_hash=self.head.hash)

    async def snapshots(self, market: LendingMarket) -> Sequence[MarketSnapshot]:
        """Return a discovered market's snapshots without accounts (prices, liquidity, warnings)."""
        results = await self.reader.aggregate(market.calls(self.head), self.basis)
        return market.apply(self.head, results)

    async def wrapped_native(self) -> Address:
        """Return the wrapped native coin of the settings, or else of the venues.

        Raises:
            ConfigError: neither states it.
        """
        if self.settings.chain.wrapped_native is not None:
            return self.settings.chain.wrapped_native
        for venue in self.session.venues:
            with contextlib.suppress(ChainError):
                return await venue.wrapped_native()
        raise ConfigError("no venue says what the wrapped coin is", hint="set chain.wrapped_native")

    def executor_targets(self) -> ExecutorTargets:
        """Return the executor's required allow-lists for the (discovered) markets and venues.

        Raises:
            ConfigError: an adapter cannot state its targets.
        """
        lenders, factories = dict[Address, None](), dict[Address, None]()
        for adapter in (*self.session.markets, *self.session.venues):
            if not isinstance(adapter, TargetsExecutor):
                raise ConfigError(f"{type(adapter).__name__} cannot say what an executor needs")
            targets = adapter.executor_targets()
            lenders.update(dict.fromkeys(targets.lenders))
            factories.update(dict.fromkeys(targets.factories))
        return ExecutorTargets(lenders=tuple(lenders), factories=tuple(factories))


@contextlib.asynccontextmanager
async def here(settings: Settings) -> AsyncIterator[Here]:
    """Connect to the configured chain, at its newest block."""
    async with opened(settings) as session:
        yield Here(session=session, head=await session.reader.head())


def wallet_key(wallet: Wallet) -> bytes:
    """Return the configured private key. Asks for a keystore's password if none is set.

    Raises:
        ConfigError: no key is configured, or it cannot be read.
    """
    if wallet.private_key is not None:
        return bytes.fromhex(wallet.private_key.get_secret_value().removeprefix("0x"))
    if wallet.keystore is None:
        raise ConfigError(
            "no key is configured",
            hint="set wallet.keystore, or KEEPER_WALLET__PRIVATE_KEY in .env",
        )
    if wallet.password is not None:
        return keystore.load(wallet.keystore, wallet.password.get_secret_value())
    return keystore.load(wallet.keystore, password(wallet.password_file))


def password(file: Path | None, *, confirm: bool = False) -> str:
    """Read a password from the file's first line, or from the terminal without echo.

    Raises:
        ConfigError: the file is unreadable, other users may read it, or stdin is not a terminal.
    """
    if file is not None:
        return _read_password_file(file)
    if not sys.stdin.isatty():
        raise ConfigError(
            "the password cannot be asked for: stdin is not a terminal", hint="use --password-file"
        )
    typed = getpass.getpass("password: ", stream=sys.stderr)
    if confirm and getpass.getpass("again: ", stream=sys.stderr) != typed:
        raise ConfigError("the two passwords differ", hint="try again")
    return typed


def _read_password_file(file: Path) -> str:
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"the password file {file} cannot be read as text") from None
    if mode & 0o077:
        raise ConfigError(f"other users may read the password file {file}", hint="chmod 600 it")
    for exposure in find_exposures(file):
        raise ConfigError(f"the password file {file}: {exposure.problem}", hint=exposure.hint)
    first = text.split("\n", 1)[0].removesuffix("\r")
    if not first:
        raise ConfigError(f"the password file {file} is empty")
    return first


def thresholds(settings: Settings) -> Thresholds:
    """Return the health factors at which the tiers begin."""
    return settings.policy.tiers.thresholds
