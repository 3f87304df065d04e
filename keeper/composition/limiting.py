"""Builds the limits of the settings on the hot key's journal."""

from decimal import Decimal

from keeper.config import Settings
from keeper.domain.units import WAD, Address, Wei
from keeper.execution.breakers import Balances, Breakers
from keeper.execution.chain import Emit
from keeper.execution.limits import Limits
from keeper.storage.journal import Journal


def breakers_of(
    settings: Settings, journal: Journal, chain: Balances, sender: Address, emit: Emit
) -> Breakers:
    """Build the guard of a key from the settings' limits and the journal's breakers."""
    return Breakers(
        limits=limits_of(settings), journal=journal, chain=chain, sender=sender, emit=emit
    )


def limits_of(settings: Settings) -> Limits:
    """Build the limits in wei, rounded down."""
    wanted = settings.limits
    return Limits(
        max_gas_per_transaction=_convert_to_wei(wanted.max_gas_per_transaction_eth),
        max_gas_per_hour=_convert_to_wei(wanted.max_gas_per_hour_eth),
        max_gas_per_day=_convert_to_wei(wanted.max_gas_per_day_eth),
        max_races_per_hour=_convert_to_wei(wanted.max_races_per_hour_eth),
        max_consecutive_reverts=wanted.max_consecutive_reverts,
        min_balance=_convert_to_wei(wanted.min_balance_eth),
        max_balance=_convert_to_wei(wanted.max_balance_eth),
    )


def _convert_to_wei(ether: Decimal) -> Wei:
    return Wei(int(ether * WAD))
