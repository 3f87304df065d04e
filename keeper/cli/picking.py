"""Filter and order of the accounts in a scan."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from keeper.cli.dollars import Rate, usd_e8
from keeper.config import nearest
from keeper.domain.account import AccountHealth
from keeper.domain.errors import ConfigError
from keeper.domain.units import WAD
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import Tier

_USD_E8: Final = 10**8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An account with its market. ``rate`` converts its base currency to dollars."""

    snapshot: MarketSnapshot
    health: AccountHealth
    tier: Tier
    rate: Rate | None = None

    @property
    def debt_usd_e8(self) -> int:
        """Its debt in 1e-8 dollars. 0 without a dollar value."""
        return usd_e8(self.health.debt_base, self.rate)

    @property
    def collateral_usd_e8(self) -> int:
        """Its collateral in 1e-8 dollars. 0 without a dollar value."""
        return usd_e8(self.health.collateral_base, self.rate)


class Sort(enum.StrEnum):
    """The order of the rows."""

    HEALTH = "health"  # worst first
    DEBT = "debt"  # most first
    COLLATERAL = "collateral"  # most first


@dataclass(frozen=True, slots=True, kw_only=True)
class Picking:
    """Filter options. None and empty options match everything."""

    everybody: bool = False
    health_below: Decimal | None = None
    debt_above: Decimal | None = None
    market: str = ""
    asset: str = ""
    sort: Sort = Sort.HEALTH
    limit: int | None = None

    def picked(self, rows: Sequence[Row]) -> list[Row]:
        """Return the matching rows in order, up to the limit."""
        found = [row for row in rows if self._is_match(row)]
        found.sort(key=_ORDERS[self.sort])
        return found[: self.limit]

    def refuse_unknown(self, snapshots: Sequence[MarketSnapshot]) -> None:
        """Check that a market and a token of these names exist.

        Raises:
            ConfigError: there is none.
        """
        if self.market and not any(self._is_market(one) for one in snapshots):
            names = ", ".join(sorted(str(one.market) for one in snapshots)[:3])
            raise ConfigError(f"no market is or begins with {self.market}", hint=f"there: {names}")
        self._refuse_unknown_asset(snapshots)

    def _refuse_unknown_asset(self, snapshots: Sequence[MarketSnapshot]) -> None:
        """Refuse a token that no market has, with or without a price."""
        wanted = self.asset.lower()
        symbols = {token: one.symbol for each in snapshots for token, one in each.prices.items()}
        names = {name.lower() for pair in symbols.items() for name in pair}
        if not wanted or wanted in names or any(self._is_held(one) for one in snapshots):
            return
        near = nearest(self.asset, sorted(set(symbols.values())))
        known = ", ".join(sorted(set(symbols.values())))
        raise ConfigError(
            f"no market has a token {self.asset}",
            hint=f"did you mean {near}?" if near else f"there: {known}",
        )

    def _is_held(self, snapshot: MarketSnapshot) -> bool:
        return any(self._has_token(snapshot, one) for one in snapshot.accounts())

    def _is_match(self, row: Row) -> bool:
        if self.health_below is None and not self.everybody and row.tier is Tier.HEALTHY:
            return False
        return self._is_bad(row) and self._is_market(row.snapshot) and self._has_asset(row)

    def _is_bad(self, row: Row) -> bool:
        below, above = self.health_below, self.debt_above
        if below is not None and (row.health.unpriced or row.health.health_factor >= below * WAD):
            return False
        return above is None or row.debt_usd_e8 > above * _USD_E8

    def _is_market(self, snapshot: MarketSnapshot) -> bool:
        return str(snapshot.market).lower().startswith(self.market.lower())

    def _has_asset(self, row: Row) -> bool:
        return not self.asset or self._has_token(row.snapshot, row.health)

    def _has_token(self, snapshot: MarketSnapshot, health: AccountHealth) -> bool:
        wanted = self.asset.lower()
        collateral, debts = snapshot.balances(health.account)
        return any(
            wanted in (one.token.lower(), one.symbol.lower()) for one in (*collateral, *debts)
        )


def _get_health_key(row: Row) -> tuple[int, str, str]:
    return (row.health.health_factor, row.health.account, row.health.market)


_ORDERS: Final[dict[Sort, Callable[[Row], tuple[int, str, str]]]] = {
    Sort.HEALTH: _get_health_key,
    Sort.DEBT: lambda row: (-row.debt_usd_e8, *_get_health_key(row)[1:]),
    Sort.COLLATERAL: lambda row: (-row.collateral_usd_e8, *_get_health_key(row)[1:]),
}
