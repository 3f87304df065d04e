"""Native coin's price in each market's base currency, to compare gas with profit."""

import logging
from collections.abc import Sequence
from typing import Final

from keeper.domain.curve import sold_along
from keeper.domain.errors import BlockUnknown, MarketUnreadable, RpcMalformed, RpcRefused
from keeper.domain.exits import Exits
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call
from keeper.domain.units import WAD, Address, BaseCurrency, BlockHash, TokenUnits, mul_div_floor
from keeper.domain.value import Valuation
from keeper.ports import ChainReader, ExitVenue, MarketSnapshot

log = logging.getLogger(__name__)

USD_UNIT: Final = 10**8
"""Unit of US dollars, 1e-8."""

_LATEST_ANSWER: Final = bytes.fromhex("50d25bcd")
_DECIMALS: Final = bytes.fromhex("313ce567")
_WORD: Final = 32


class NativeCoin:
    """Price source of the native coin.

    The market's own price of ``wrapped`` is used if it lists the coin. Otherwise the price source
    ``feed`` (``latestAnswer`` in US dollars, like Chainlink's) is read at most once per block. If
    neither answers, the price is the proceeds of one whole ``wrapped`` on ``venues``, at the
    market's prices. A market with the native coin as base currency needs the feed only for its
    dollar rate.
    """

    def __init__(
        self,
        reader: ChainReader,
        *,
        wrapped: Address | None,
        feed: Address | None,
        venues: Sequence[ExitVenue] = (),
    ) -> None:
        self._reader = reader
        self._wrapped = wrapped
        self._feed = feed
        self._venues = venues
        self._quoted: tuple[BlockHash, int] | None = None

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        """Return the market's prices with the native coin's. None if no source has it."""
        listed = snapshot.prices.get(self._wrapped) if self._wrapped is not None else None
        if snapshot.base_unit == USD_UNIT:
            native = listed.price if listed else await self._fetch_unlisted_price(snapshot)
            usd_per_base = (1, 1)
        else:
            native = listed.price if listed else snapshot.base_unit
            usd = await self._fetch_usd(snapshot.head)
            if not usd:
                return None
            usd_per_base = (usd, native)
        if not native:
            return None
        return Valuation(
            prices=snapshot.prices,
            base_unit=snapshot.base_unit,
            native_price=BaseCurrency(native),
            usd_per_base=usd_per_base,
        )

    async def _fetch_unlisted_price(self, snapshot: MarketSnapshot) -> int:
        """Return the native coin's price in dollars (1e-8) from other sources. 0 if none."""
        return await self._fetch_usd(snapshot.head) or await self._fetch_sale_price(snapshot)

    async def _fetch_usd(self, head: Head) -> int:
        """Return dollars (1e-8) per native coin by the feed. 0 if it does not answer."""
        if self._feed is None:
            return 0
        if self._quoted is None or self._quoted[0] != head.hash:
            try:
                answer = await self._read_feed(self._feed, head)
            except MarketUnreadable as error:
                log.warning("native_price_unreadable block=%d reason=%s", head.number, error)
                answer = 0
            self._quoted = (head.hash, answer)
        return self._quoted[1]

    async def _fetch_sale_price(self, snapshot: MarketSnapshot) -> int:
        """Return the best proceeds of one whole coin, in base currency. 0 if it cannot be sold."""
        wrapped = self._wrapped
        if wrapped is None:
            return 0
        best, basis = 0, Basis(block_hash=snapshot.head.hash)
        pairs = {(wrapped, token) for token in snapshot.prices if token != wrapped}
        for venue in self._venues:
            try:
                exits = await venue.exits(pairs, basis)
            except (BlockUnknown, RpcRefused, RpcMalformed) as error:
                log.warning("native_price_unreadable venue=%s reason=%s", venue.kind, error)
                continue
            best = max(best, _find_best_sale(exits, snapshot))
        return best

    async def _read_feed(self, feed: Address, head: Head) -> int:
        basis = Basis(block_hash=head.hash)
        answers = await self._reader.aggregate(
            [Call(target=feed, data=_LATEST_ANSWER), Call(target=feed, data=_DECIMALS)], basis
        )
        if any(not answer.success or len(answer.data) != _WORD for answer in answers):
            raise MarketUnreadable(
                f"the price feed {feed} does not answer latestAnswer() and decimals()",
                hint="set chain.native_price_feed to a Chainlink-shaped feed in US dollars",
            )
        price = int.from_bytes(answers[0].data, "big", signed=True)
        decimals = int.from_bytes(answers[1].data, "big")
        return max(mul_div_floor(price, USD_UNIT, 10 ** min(decimals, 77)), 0)


def _find_best_sale(exits: Exits, snapshot: MarketSnapshot) -> int:
    """Return the best proceeds of one whole coin over these exits, in base currency."""
    best = 0
    for (_, token), routes in exits.routes.items():
        quoted = snapshot.prices[token]
        for route in routes:
            sale = sold_along(route, TokenUnits(WAD), exits.curves)
            if sale is not None:
                unit = 10**quoted.decimals
                best = max(best, mul_div_floor(sale.amount_out, quoted.price, unit))
    return best
