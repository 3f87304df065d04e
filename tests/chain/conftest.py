"""
Real contracts for chain tests: one local chain per version and test process.

``aave36`` and ``aave30`` give a fresh-looking ``keeper.devnet.market.Devnet`` to each test: the
market is brought up once, and what a test does to it is undone by a snapshot. Where both
versions must agree, ask for ``devnet``, which runs the test on each.

What a test uses most:

- ``devnet.node.rpc(method, params)`` any JSON-RPC method; ``.port`` for ``ws://`` and ``http://``
  addresses on 127.0.0.1; ``.send(Transaction(sender=.., to=.., data=..))`` from any account, no
  key needed; ``.block_number()``, ``.balance(account)``, ``.set_balance(account, wei)``
- ``devnet.aave.pool`` / ``.provider`` / ``.oracle`` / ``.configurator`` / ``.data_provider``,
  ``devnet.venue.factory`` / ``.router`` / ``.quoter``, ``devnet.tokens["WETH"]``: contracts with
  ``.address``, ``.call("function", *arguments)`` and ``.send("function", *arguments, sender=..)``
  (the admin sends when nobody is named)
- ``devnet.borrowers``: address, ``kind``, token units of collateral and debt by symbol
- ``devnet.set_prices({"WETH": 2_600 * 10**8})`` through the feeds, pools following, in one block;
  ``leave_pools=True`` leaves them behind; ``devnet.prices()``, ``.health_factors()``,
  ``.unhealthy()``, ``.token(symbol, account)``, ``.pass_time(seconds)``
- ``devnet.accounts``: admin, owner, receiver, treasury, hot; ``keeper.devnet.market.hot_key()``
- ``devnet.executor``: the executor's address; ``devnet.from_block``: before the market's first log

Blocks are mined one per transaction, 12 seconds apart; the chain starts at ``START``.
"""

from collections.abc import Iterator

import pytest

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.market import VERSIONS, Devnet, bring_up
from keeper.devnet.node import Node
from tests.support.undoing import undo

START = 1_800_000_000
INTERVAL = 12


def running_devnet(version: str) -> Iterator[Devnet]:
    """Bring a market up on a chain of its own; it ends with the iterator."""
    with start_anvil(AnvilOptions(timestamp=START)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        try:
            devnet = bring_up(node, version=version)
            _AS_BROUGHT_UP[node.port] = devnet, node.rpc("evm_snapshot")
            yield devnet
        finally:
            _AS_BROUGHT_UP.pop(node.port, None)
            node.close()


_AS_BROUGHT_UP: dict[int, tuple[Devnet, str]] = {}
"""By port: the markets that several modules share, and how to go back to their beginning."""


@pytest.fixture(scope="module", autouse=True)
def others_find_the_market_as_it_was() -> Iterator[None]:
    """Undo what a module built upon a shared market: in which order they come must not matter."""
    yield
    for port, (devnet, snapshot) in _AS_BROUGHT_UP.items():
        undo(devnet.node, snapshot)
        _AS_BROUGHT_UP[port] = devnet, devnet.node.rpc("evm_snapshot")


def undone(devnet: Devnet) -> Iterator[Devnet]:
    """Give the market to one test and undo afterwards what it did."""
    snapshot = devnet.node.rpc("evm_snapshot")
    yield devnet
    undo(devnet.node, snapshot)


@pytest.fixture(scope="session")
def market36() -> Iterator[Devnet]:
    """Aave v3.6, once per process; tests take ``aave36``."""
    yield from running_devnet("3.6")


@pytest.fixture(scope="session")
def market30() -> Iterator[Devnet]:
    """Aave v3.0, once per process; tests take ``aave30``."""
    yield from running_devnet("3.0")


@pytest.fixture
def aave36(market36: Devnet) -> Iterator[Devnet]:
    """Aave v3.6 as it was brought up."""
    yield from undone(market36)


@pytest.fixture
def aave30(market30: Devnet) -> Iterator[Devnet]:
    """Aave v3.0 as it was brought up."""
    yield from undone(market30)


@pytest.fixture(params=VERSIONS)
def devnet(request: pytest.FixtureRequest) -> Devnet:
    """Each version in turn."""
    found: Devnet = request.getfixturevalue(f"aave{request.param.replace('.', '')}")
    return found
