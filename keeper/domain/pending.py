"""Effects of the keeper's pending transactions on pools and on a protocol's liquidity."""

from dataclasses import dataclass

from keeper.domain.curve import Route
from keeper.domain.opportunity import LiquidityKey
from keeper.domain.units import Address, TokenUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSale:
    """Effects of one signed but unmined plan on later plans.

    ``received`` is sold along the ``route``. A flash swap first buys ``bought`` at the route's end
    (0 with other funding). ``drawn`` and ``repaid`` are those of its ``LiquidationAmounts``.
    """

    route: Route
    received: TokenUnits
    bought: TokenUnits
    drawn: tuple[tuple[LiquidityKey, TokenUnits], ...] = ()
    repaid: tuple[tuple[LiquidityKey, TokenUnits], ...] = ()

    @property
    def pair(self) -> tuple[Address, Address] | None:
        """The token sold and the token bought. None if there is no sale."""
        hops = self.route.hops
        return (hops[0].token_in, hops[-1].token_out) if hops else None
