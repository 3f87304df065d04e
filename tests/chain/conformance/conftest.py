"""
The worlds of the conformance suite; a further protocol is a further line in ``WORLDS``.

One world alone: ``scripts/test tests/chain/conformance -k morpho_blue`` (or ``aave_3.6``).
"""

from dataclasses import dataclass

import pytest

from keeper.chain.reader import connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.market import MORPHO_BLUE, PROTOCOLS, bring_up
from keeper.devnet.node import Node
from tests.chain.conformance.aave import AaveWorld
from tests.chain.conformance.morpho import MorphoWorld
from tests.chain.conftest import INTERVAL, START, undone

WORLDS = {
    "aave_3.6": (AaveWorld, "market36"),
    "aave_3.0": (AaveWorld, "market30"),
    "morpho_blue": (MorphoWorld, "market_morpho"),
}
TOGETHER = (AaveWorld, MorphoWorld)
"""The protocols that one devnet has at once."""


def brought_up(protocols):
    """Bring a devnet up on a chain of its own; it ends with the iterator."""
    with start_anvil(AnvilOptions(timestamp=START)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        try:
            yield bring_up(node, protocols=protocols, borrowers=44)
        finally:
            node.close()


@pytest.fixture(scope="session")
def market_morpho():
    """Morpho Blue, once per process."""
    yield from brought_up((MORPHO_BLUE,))


@pytest.fixture(scope="session")
def market_of_all():
    """Every protocol on one chain, once per process."""
    yield from brought_up(PROTOCOLS)


@pytest.fixture(params=WORLDS)
def world(request):
    """Each protocol's world in turn, as it was brought up; what a test does is undone."""
    kind, fixture = WORLDS[request.param]
    for devnet in undone(request.getfixturevalue(fixture)):
        yield kind(request.param, devnet)


@dataclass(frozen=True)
class Together:
    """Several protocols on one devnet."""

    worlds: tuple
    devnet: object


@pytest.fixture
def together(market_of_all):
    """All protocols at once, as they were brought up."""
    for devnet in undone(market_of_all):
        yield Together(tuple(kind(kind.__name__, devnet) for kind in TOGETHER), devnet)


@pytest.fixture
async def reader(world):
    """A connection to the world's node."""
    async with connect([f"http://127.0.0.1:{world.devnet.node.port}"]) as made:
        yield made
