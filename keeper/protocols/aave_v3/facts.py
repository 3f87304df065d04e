"""Facts about a pool for the operator. Rules, price sources and ages of prices."""

from collections.abc import Sequence

from keeper.domain.facts import Fact
from keeper.domain.oracle import Reading
from keeper.domain.units import Timestamp
from keeper.protocols.aave_v3.model import PoolState, ReserveState


def facts(pool: PoolState, moment: Timestamp) -> Sequence[Fact]:
    """Return the pool's revision and the price source of every reserve."""
    structure = pool.structure
    revision = f"Aave v{structure.rules.version} rules for revision {structure.revision}"
    if not structure.supported:
        first = Fact(
            text=f"revision {structure.revision} is not one this keeper knows",
            concern="it is observed and not acted upon",
        )
    else:
        first = Fact(text=f"{revision}, {len(structure.reserves)} reserves")
    return (first, *(_describe_price(reserve, moment) for reserve in pool.reserves.values()))


def readings(pool: PoolState) -> Sequence[Reading]:
    """Return each reserve's price with its feed's statements."""
    return tuple(_build_reading(pool, state) for state in pool.reserves.values())


def _build_reading(pool: PoolState, state: ReserveState) -> Reading:
    """Build the reading. Decimals are compared if the pool's oracle reads the feed itself."""
    source = state.reserve.price_source
    direct = source.feed is not None and source.feed == source.source
    return Reading(
        token=state.reserve.token,
        symbol=state.reserve.symbol,
        price=state.price,
        feed=source.feed or source.source,
        round=state.round,
        minimum=source.minimum,
        maximum=source.maximum,
        decimals=source.decimals if direct else None,
        expected_decimals=len(str(pool.structure.base_unit)) - 1 if direct else None,
    )


def _describe_price(state: ReserveState, moment: Timestamp) -> Fact:
    symbol, source = state.reserve.symbol, state.reserve.price_source
    if state.answered_at is None:
        return Fact(text=f"price of {symbol} by {source.source}: age unknown")
    age = max(moment - state.answered_at, 0)
    way = f"feed {source.feed}"
    if source.feed != source.source:
        way = f"adapter {source.source} over feed {source.feed}"
    return Fact(text=f"price of {symbol} by {way}: answered {age} s before the block")
