"""How much sells before the loss eats the bonus."""

from dataclasses import dataclass, replace

from keeper.domain.curve import Hop, Route, Trade
from keeper.domain.value import TokenPrice
from keeper.risk.depth import PRECISION, Sale, exit_depth

ONE = 10**18


def price(token):
    return TokenPrice(token=token, symbol=token, decimals=18, price=10**8)


SALE = Sale(sold=price("a"), bought=price("b"), least=(100, 105))


@dataclass(frozen=True)
class Pool:
    """A pool of constant product, without a fee."""

    pool: str
    held: tuple
    fee: int = 0
    tokens: tuple = ("a", "b")

    def sold(self, token_in, amount_in):
        paid = self.held[1] * amount_in // (self.held[0] + amount_in)
        left = (self.held[0] + amount_in, self.held[1] - paid)
        after = replace(self, held=left)
        return Trade(amount_in=amount_in, amount_out=paid, after=after, ticks_crossed=0)


def route(*pools):
    hops = tuple(Hop(pool=one, token_in="a", token_out="b", fee=0) for one in pools)
    return Route(venue="v", factory="f", hops=hops)


def test_a_bonus_of_five_percent_pays_for_a_twentieth_of_the_pool():
    """x * y = k pays 1 / (1 + x / X) on average: 100 / 105 at X / 20."""
    depth = exit_depth(SALE, [route("p")], {"p": Pool("p", (100 * ONE, 100 * ONE))})
    assert 5 * ONE * (PRECISION - 2) // PRECISION <= depth <= 5 * ONE


def test_pools_add_up_and_none_is_sold_to_twice():
    """Two pools are deeper than one; the same pool by two routes is not."""
    pools = {name: Pool(name, (100 * ONE, 100 * ONE)) for name in ("p", "q")}
    alone = exit_depth(SALE, [route("p")], pools)
    assert exit_depth(SALE, [route("p"), route("q")], pools) == 2 * alone
    assert exit_depth(SALE, [route("p"), route("p")], pools) < alone + alone // 10


def test_a_pool_that_pays_too_little_takes_nothing():
    """It gives half of what the market says."""
    assert exit_depth(SALE, [route("p")], {"p": Pool("p", (100 * ONE, 50 * ONE))}) == 0


def test_no_route_is_no_depth():
    """Nothing to sell along, or a pool whose state is not known."""
    assert exit_depth(SALE, [], {}) == 0
    assert exit_depth(SALE, [route("p")], {}) == 0
