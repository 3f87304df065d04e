"""The devnet carries a real market that moves as its price sources say."""

import pytest

from keeper.devnet import uniswap
from keeper.devnet.assets import ASSETS, BY_SYMBOL, POOLS
from keeper.devnet.borrowers import KINDS, planned_borrowers
from keeper.devnet.market import LINE, MULTICALL3, WHALE, opened, saved
from keeper.domain.errors import ConfigError, RpcRefused

DAY = 86_400
USD = 10**8


def kinds_of(devnet, accounts):
    return {each.kind for each in devnet.borrowers if each.address in accounts}


def pool_prices(devnet):
    prices = {}
    for spec in POOLS:
        pool = uniswap.pool_address(devnet.venue, devnet.tokens, spec)
        answer = devnet.node.rpc("eth_call", [{"to": pool, "data": "0x3850c7bd"}, "latest"])
        prices[spec] = int(answer[2:66], 16)
    return prices


def oracle_pool_prices(devnet):
    now = devnet.prices()
    return {
        spec: uniswap.target_sqrt_price(*uniswap.ordered(spec, devnet.tokens), now)
        for spec in POOLS
    }


def test_every_borrower_is_healthy_at_first_and_all_kinds_are_there(devnet):
    """The keeper has nothing to do until a price moves."""
    health = devnet.health_factors()

    assert {each.kind for each in devnet.borrowers} == {kind.name for kind in KINDS} | {WHALE}
    assert all(LINE < value < 21 * LINE // 10 for value in health.values())
    assert min(health.values()) < 103 * LINE // 100


def test_the_revision_is_the_one_asked_for(aave36, aave30):
    """The rules of the two differ; a test must know which one it runs on."""
    assert aave36.aave.pool.call("POOL_REVISION") == 10
    assert aave30.aave.pool.call("POOL_REVISION") == 1


def test_a_fall_through_the_feeds_makes_accounts_unhealthy_in_one_block(devnet):
    """Prices come from Chainlink's rounds; the ratio adapter follows its base."""
    before = devnet.node.block_number()

    devnet.set_prices({"WETH": 2_600 * USD, "LINK": 7 * USD})

    assert devnet.node.block_number() == before + 1
    assert devnet.prices()["WETH"] == 2_600 * USD
    assert devnet.prices()["wstETH"] == 3_120 * USD
    assert kinds_of(devnet, devnet.unhealthy()) >= {"plain", "dust", "deep", "same_asset"}


def test_a_deep_account_owes_more_than_it_has_after_the_fall(devnet):
    """Bad debt must exist on the devnet, or its handling is never seen."""
    devnet.set_prices({"LINK": 7 * USD})

    deep = next(each for each in devnet.borrowers if each.kind == "deep")
    collateral, debt, *_ = devnet.aave.pool.call("getUserAccountData", deep.address)
    assert 0 < collateral < debt


def test_pools_stand_exactly_where_the_oracle_does(devnet):
    """Pools follow to the last bit, at the start and after a move of several prices."""
    assert pool_prices(devnet) == oracle_pool_prices(devnet)

    devnet.set_prices({"WETH": 2_600 * USD, "WBTC": 50_000 * USD, "wstETH": 3_000 * USD})

    assert pool_prices(devnet) == oracle_pool_prices(devnet)


def test_pools_can_be_left_behind(aave36):
    """A market before arbitrage: the oracle moved and the exits did not."""
    before = pool_prices(aave36)

    aave36.set_prices({"WETH": 2_600 * USD}, leave_pools=True)

    assert pool_prices(aave36) == before


def test_the_ratio_adapter_has_a_last_answer_and_no_rounds(aave36):
    """Sources of unknown age exist on real markets."""
    source = aave36.feeds["wstETH"].source

    assert source.call("latestAnswer") == BY_SYMBOL["wstETH"].price
    with pytest.raises(RpcRefused):
        aave36.node.rpc("eth_call", [{"to": source.address, "data": "0xfeaf968c"}, "latest"])


@pytest.mark.parametrize(
    "changes", [{"WETH": 0}, {"DOGE": USD}, {"wstETH": 4_000 * USD}, {"WETH": 10**21}]
)
def test_a_price_that_cannot_be_is_refused(aave36, changes):
    """One line instead of a revert deep in a feed."""
    with pytest.raises(ConfigError):
        aave36.set_prices(changes)


def test_months_of_interest_lower_health(devnet):
    """Debt grows faster than collateral, so accounts near the line cross it by themselves."""
    before = devnet.health_factors()

    devnet.pass_time(180 * DAY)

    after = devnet.health_factors()
    plain = [each.address for each in devnet.borrowers if each.kind in {"plain", "dai_debt"}]
    assert all(after[who] < before[who] * 995 // 1_000 for who in plain)


def test_stable_debt_exists_where_the_version_has_it(aave30):
    """A borrower at a stable rate owes in a token of its own."""
    borrower = next(each for each in aave30.borrowers if each.kind == "stable_rate")

    data = aave30.aave.data_provider.call(
        "getUserReserveData", aave30.tokens["USDC"].address, borrower.address
    )

    assert data[1] >= borrower.debt["USDC"]
    assert data[2] == 0


def test_an_e_mode_account_is_in_its_category(devnet):
    """Its thresholds and bonus are the category's, not the reserve's."""
    borrower = next(each for each in devnet.borrowers if each.kind == "e_mode")

    assert devnet.aave.pool.call("getUserEMode", borrower.address) == 1


def test_decimals_differ_from_6_to_18(aave36):
    """Amounts of unlike decimals meet in one position."""
    told = {each.symbol: aave36.tokens[each.symbol].call("decimals") for each in ASSETS}

    assert told == {each.symbol: each.decimals for each in ASSETS}
    assert set(told.values()) == {6, 8, 18}


def test_the_executor_is_the_owners_and_pays_the_receiver(devnet):
    """Cold owner, separate receiver that starts empty, hot operator with gas money only."""
    accounts = devnet.accounts

    assert len({accounts.admin, accounts.owner, accounts.receiver, accounts.hot}) == 4
    assert devnet.node.balance(accounts.receiver) == 0
    assert all(devnet.token(each.symbol, accounts.receiver) == 0 for each in ASSETS)
    assert devnet.node.balance(accounts.hot) == 10 * 10**18
    assert len(devnet.node.rpc("eth_getCode", [devnet.executor, "latest"])) > 2


def test_multicall_is_at_its_canonical_address(aave36):
    """The keeper's default setting must work here too."""
    number = aave36.node.rpc("eth_call", [{"to": MULTICALL3, "data": "0x42cbb15c"}, "latest"])

    assert int(number, 16) == aave36.node.block_number()


def test_a_saved_devnet_opens_again_and_still_moves(devnet):
    """Commands in other processes move the same market."""
    again = opened(devnet.node, saved(devnet))

    again.set_prices({"WETH": 2_900 * USD})

    assert devnet.prices()["WETH"] == 2_900 * USD
    assert again.borrowers == devnet.borrowers


def test_the_gas_limit_is_back_after_the_bring_up(aave36):
    """Blocks of any size would hide a keeper that packs too much into one."""
    aave36.pass_time(1)

    block = aave36.node.rpc("eth_getBlockByNumber", ["latest", False])
    assert int(block["gasLimit"], 16) == 60_000_000


def test_the_same_seed_gives_the_same_borrowers():
    """A finding on the devnet can be reproduced from its seed."""
    assert planned_borrowers(100, 7) == planned_borrowers(100, 7)
    assert planned_borrowers(100, 7) != planned_borrowers(100, 8)
    assert planned_borrowers(200, 7)[:100] == planned_borrowers(100, 7)
