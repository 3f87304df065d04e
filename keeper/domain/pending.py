"""What a transaction of ours that waits for a block will do to pools and to a protocol's tokens."""

from dataclasses import dataclass

from keeper.domain.curve import Route
from keeper.domain.opportunity import LiquidityKey
from keeper.domain.units import Address, TokenUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSale:
    """
    One plan that is signed and not mined, as far as it changes what later plans meet.

    ``received`` is sold along the ``route``, of which a flash swap buys ``bought`` from the
    route's end first (0 with other funding). ``drawn`` and ``repaid`` are its outcome's.
    """

    route: Route
    received: TokenUnits
    bought: TokenUnits
    drawn: tuple[tuple[LiquidityKey, TokenUnits], ...] = ()
    repaid: tuple[tuple[LiquidityKey, TokenUnits], ...] = ()

    @property
    def pair(self) -> tuple[Address, Address] | None:
        """The token sold and the token bought; None where nothing is sold."""
        hops = self.route.hops
        return (hops[0].token_in, hops[-1].token_out) if hops else None
