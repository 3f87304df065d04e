"""Which pools are looked at for which pairs."""

from keeper.domain.units import Address
from keeper.quotes.uniswap_v3.routes import pairs_of_pools

WETH, USDC, DAI = (Address("0x" + f"{number:040x}") for number in (1, 2, 3))


def test_a_pair_needs_its_own_pools_and_those_through_others():
    """Directly, and over every token between."""
    assert pairs_of_pools([(DAI, WETH)], [USDC, WETH]) == [(WETH, USDC), (WETH, DAI), (USDC, DAI)]


def test_a_pair_of_the_same_token_needs_pools_that_lend_it():
    """Nothing is sold, but a market may lend nothing."""
    assert pairs_of_pools([(WETH, WETH)], [USDC, WETH, DAI]) == [(WETH, USDC), (WETH, DAI)]
    assert pairs_of_pools([(WETH, WETH)], []) == []
