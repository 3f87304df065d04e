"""What a followed book must survive, on real contracts; the commands do the same at full size."""

import dataclasses
from collections import Counter

import pytest

from keeper.book.follower import Follower
from keeper.chain.reader import connect
from keeper.composition.wiring import load_market
from keeper.devnet.aave_v30 import aave_v30_artifacts
from keeper.devnet.aave_v36 import aave_v36_artifacts
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.artifacts import Deployer
from keeper.devnet.assets import BY_SYMBOL, E_MODE, PRICE_UNIT
from keeper.devnet.borrowers import enter_market, planned_borrowers
from keeper.devnet.checkpoints import Wanted, run, said
from keeper.devnet.kills import run as killed
from keeper.devnet.listing import list_reserve
from keeper.devnet.market import bring_up
from keeper.devnet.node import Node
from keeper.devnet.sections import market_of
from keeper.devnet.shuffling import reorganise
from tests.chain.worlds import Keeper
from tests.support.forked import started
from tests.support.threaded import proxied

pytestmark = pytest.mark.early(1)

NEWCOMER = "0x3131313131313131313131313131313131313131"
DUST = 1_000
WAVE = 250
PLENTY = 10**10 * PRICE_UNIT
LONG_START = 500.0
"""Seconds that a start may take on a loaded machine, thousands of accounts being read."""
YES = True


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("version", "seed"), [("3.6", 5), ("3.0", 6)])
async def test_the_book_is_what_the_chain_says_after_whatever_happened(version, seed):
    """`scripts/checkpoints` does ten thousand of these actions, with a hundred checkpoints."""
    found = await run(Wanted(version=version, seed=seed, actions=160, checkpoints=7))

    assert found.differences == []
    assert found.checkpoints == 7
    assert found.audited >= 7 * 30
    assert found.reorganised >= 3
    assert found.restarts == 1
    assert {"supply", "withdraw", "borrow", "repay", "transfer", "new reserve"} <= set(
        found.actions
    )


@pytest.mark.timeout(900)
async def test_a_keeper_that_is_killed_loses_and_doubles_nobody():
    """`scripts/kills` does it fifty times."""
    found = await killed("3.6", 4, 5, start=started)

    assert found.differences == []
    assert found.kills == 4
    assert found.found_kept >= 2
    assert found.set_aside == 0


@pytest.fixture
async def reader(devnet):
    async with connect([f"http://127.0.0.1:{devnet.node.port}"]) as made:
        yield made


async def book_of(devnet, reader):
    """Return a book that follows from now on."""
    for _ in range(3):
        devnet.node.rpc("evm_mine")
    book = Follower(reader, [load_market(market_of(devnet), reader)])
    await book.start(await reader.head())
    await book.advance(await reader.head())
    return book


async def same_as_anew(book, devnet, reader):
    """Follow to the newest block; return what a book made anew says, which must be the same."""
    head = await reader.head()
    followed = said(await book.advance(head))
    new = Follower(reader, [load_market(market_of(devnet), reader)])
    await new.start(head)
    anew = said(await new.advance(head))
    assert followed == anew
    assert followed == said(await book.advance(head))
    return followed


def use(devnet, token, amount=10**18):
    """Let a newcomer back a debt with a token."""
    node, pool = devnet.node, devnet.aave.pool
    node.set_balance(NEWCOMER, 10**20)
    pool.send("supply", token.address, 10**5 * amount, NEWCOMER, 0)
    usdc = devnet.tokens["USDC"].address
    pool.send("borrow", usdc, 10**8, 2, 0, NEWCOMER, sender=NEWCOMER)


@pytest.mark.parametrize("step_by_step", [True, False])
async def test_a_new_reserve_is_followed(devnet, reader, step_by_step):
    """Listed, used and moved about, each block looked at or all of it in one gap."""
    book = await book_of(devnet, reader)
    token = list_reserve(devnet, "NEW")
    if step_by_step:
        await same_as_anew(book, devnet, reader)
    use(devnet, token)
    a_token = devnet.aave.data_provider.call("getReserveTokensAddresses", token.address)[0]
    person = devnet.borrowers[1].address
    moved = token.artifact.calldata("transfer", person, 10**18)
    devnet.node.send(
        dataclasses.replace(token.transaction("symbol", sender=NEWCOMER), to=a_token, data=moved)
    )

    found = await same_as_anew(book, devnet, reader)

    assert token.address in found["prices"]
    for depth in (1, 2):  # the transfer is taken back, then the borrowing too
        reorganise(devnet.node, depth)
        await same_as_anew(book, devnet, reader)


async def test_a_reserve_that_was_listed_on_an_orphaned_branch_is_forgotten(devnet, reader):
    """Its token has a price no more, and nobody has it."""
    book = await book_of(devnet, reader)
    before = devnet.node.block_number()
    token = list_reserve(devnet, "GONE")
    use(devnet, token)
    found = await same_as_anew(book, devnet, reader)
    assert token.address in found["prices"]

    reorganise(devnet.node, devnet.node.block_number() - before)
    found = await same_as_anew(book, devnet, reader)

    assert token.address not in found["prices"]


async def test_an_upgraded_token_has_its_users_read_again(devnet, reader):
    """The same proxy with other code: whatever it says of balances now is what counts."""
    book = await book_of(devnet, reader)
    deployer = Deployer(devnet.node, devnet.accounts.admin)
    aave, weth = devnet.aave, devnet.tokens["WETH"].address
    if aave.version == "3.6":
        artifact = aave_v36_artifacts()["ATokenInstance"]
        rewards = aave.others["rewards_controller"].address
        made = deployer.deploy(artifact, aave.pool.address, rewards, devnet.accounts.treasury)
        given = (weth, "another", "aWETH2", made.address, b"")
    else:
        made = deployer.deploy(aave_v30_artifacts()["AToken"], aave.pool.address)
        nobody = "0x" + "00" * 20
        given = (weth, devnet.accounts.treasury, nobody, "another", "aWETH2", made.address, b"")
    # The new code is of the same revision: let the proxy take it for a later one.
    a_token = aave.data_provider.call("getReserveTokensAddresses", weth)[0]
    devnet.node.rpc("anvil_setStorageAt", [a_token, "0x" + "00" * 32, "0x" + "00" * 32])
    aave.configurator.send("updateAToken", given)
    market = book.followed[0].market
    head = await reader.head()
    await book.track(head)
    await market.refresh(head)

    users = [each.address for each in devnet.borrowers if "WETH" in {*each.collateral, *each.debt}]
    assert set(users) <= set(market.noted)
    await same_as_anew(book, devnet, reader)


async def test_parameters_and_emodes_are_followed_and_taken_back(devnet, reader):
    """Thresholds, another eMode, its assets: at the block in which they change."""
    book = await book_of(devnet, reader)
    configurator, version = devnet.aave.configurator, devnet.aave.version
    weth, link = (devnet.tokens[symbol].address for symbol in ("WETH", "LINK"))
    first = await same_as_anew(book, devnet, reader)
    configurator.send("configureReserveAsCollateral", weth, 7_000, 7_400, 10_500)
    lower = await same_as_anew(book, devnet, reader)
    assert lower != first
    nobody = ("0x" + "00" * 20,) if version == "3.0" else ()
    configurator.send("setEModeCategory", 7, 9_000, 9_200, 10_200, *nobody, "seven")
    if version == "3.6":
        configurator.send("setAssetCollateralInEMode", link, 7, YES)
        configurator.send("setAssetBorrowableInEMode", devnet.tokens["USDC"].address, 7, YES)
    else:
        configurator.send("setAssetEModeCategory", link, 7)
    configurator.send("setEModeCategory", E_MODE, 9_300, 9_400, 10_100, *nobody, "tighter")
    await same_as_anew(book, devnet, reader)
    for depth in (1, 2, 3):
        reorganise(devnet.node, depth)
        await same_as_anew(book, devnet, reader)


def entered(devnet, planned):
    """Let borrowers into the market, some hundreds at a time, and have enough to lend them."""
    pool, lender = devnet.aave.pool, devnet.accounts.admin
    for symbol, token in devnet.tokens.items():
        pool.send("supply", token.address, BY_SYMBOL[symbol].units_worth(PLENTY), lender, 0)
    for at in range(0, len(planned), WAVE):
        enter_market(devnet.node, devnet.aave, devnet.tokens, planned[at : at + WAVE])


def of_quiet_blocks(keeper, node, proxy, blocks=3):
    """Return what each of some blocks in which nothing happens asks, and the last one's event."""
    found = []
    with keeper.running("--dry-run") as running:
        assert running.next(LONG_START) is not None
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        for _ in range(blocks):
            proxy.reset()
            node.rpc("evm_mine")
            told = running.until("block", block=node.block_number())
            found.append(Counter(proxy.counts))
    return found, told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("borrowers", [100, 5_000])
def test_a_quiet_block_costs_at_most_four_requests(borrowers, tmp_path):
    """The same for a hundred real borrowers as for five thousand; chunks are counted."""
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        node = Node(anvil.port)
        devnet = bring_up(node, borrowers=0)
        entered(devnet, planned_borrowers(borrowers, 1))
        with proxied(anvil.port) as proxy:
            keeper = Keeper(tmp_path / "keeper", devnet, endpoint=proxy.ws_url)
            keeper.configure()
            found, told = of_quiet_blocks(keeper, node, proxy)
        node.close()

    assert (told["accounts"], told["unhealthy"]) == (borrowers + 1, 0)
    for counts in found:
        # By the moment, a block is asked for besides being announced.
        assert counts.pop("eth_getBlockByNumber", 0) <= 1
        assert counts == {"eth_getLogs": 1, "eth_call": 1}


@pytest.mark.timeout(900)
def test_permanent_dust_costs_no_request_more(tmp_path):
    """A thousand accounts past the line that are not worth their gas, block after block."""
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        node = Node(anvil.port)
        devnet = bring_up(node, borrowers=0)
        planned = planned_borrowers(17 * DUST, 7)
        dust = [each for each in planned if each.kind == "dust"]
        entered(devnet, dust)
        devnet.set_prices({"WETH": 2_850 * PRICE_UNIT}, leave_pools=True)
        with proxied(anvil.port) as proxy:
            keeper = Keeper(tmp_path / "keeper", devnet, endpoint=proxy.ws_url)
            keeper.configure()
            found, told = of_quiet_blocks(keeper, node, proxy)
        node.close()

    assert told["unhealthy"] == len(dust) == DUST
    for counts in found:
        # The next block's time decides how much interest there will be.
        assert counts.pop("eth_getBlockByNumber", 0) <= 2
        assert counts == {"eth_getLogs": 1, "eth_call": 1}
