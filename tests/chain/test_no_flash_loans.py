"""Markets that lend nothing for a transaction: the pools fund what can be funded."""

from eth_utils.address import to_checksum_address

from tests.chain.worlds import Keeper, decisions, driven, plans_of

USD = 10**8
SAME = str(to_checksum_address("0x" + "5a" * 20))
NO = False


def same_asset_account(devnet):
    """Make an unhealthy account whose only collateral and only debt are WETH."""
    pool, weth = devnet.aave.pool, devnet.tokens["WETH"].address
    devnet.node.set_balance(SAME, 10**18)
    pool.send("supply", weth, 20 * 10**18, SAME, 0)
    pool.send("borrow", weth, 158 * 10**17, 2, 0, SAME, sender=SAME)
    configurator = devnet.aave.configurator
    configurator.send("configureReserveAsCollateral", weth, 7_000, 7_600, 10_500)


def test_a_pool_lends_for_a_pair_of_the_same_asset(devnet, tmp_path):
    """Nothing is sold, so a pool's own flash loan pays first where the market lends nothing."""
    same_asset_account(devnet)
    for token in devnet.tokens.values():
        devnet.aave.configurator.send("setReserveFlashLoaning", token.address, NO)
    keeper = Keeper(tmp_path / "keeper", devnet)
    keeper.configure()
    events = driven(keeper, 2)

    done = {one["account"] for one in decisions(events, "liquidate")}
    assert SAME in done
    assert len(done) > 1
    assert all(not one["failure"] for one in plans_of(events))
    assert {one["reason"] for one in decisions(events, "skip")} <= {"dust", "below_min_profit"}


def test_an_empty_reserve_pays_nothing_out(aave36, tmp_path):
    """Collateral that is all borrowed cannot be had; the reason says so, the others go on."""
    pool, weth = aave36.aave.pool, aave36.tokens["WETH"].address
    aave36.set_prices({"WETH": 2_600 * USD, "WBTC": 50_000 * USD})
    a_token = pool.call("getReserveData", weth)[8]
    left = aave36.token("WETH", a_token)
    pool.send("withdraw", weth, left, aave36.accounts.admin)
    keeper = Keeper(tmp_path / "keeper", aave36)
    keeper.configure()
    events = driven(keeper, 2)

    kinds = {one.address: one.kind for one in aave36.borrowers}
    illiquid = [one for one in decisions(events, "skip") if one["reason"] == "reserve_illiquid"]
    assert {"plain", "tether"} <= {kinds[one["account"]] for one in illiquid}
    assert "bitcoin" in {kinds[one["account"]] for one in decisions(events, "liquidate")}
    assert all(not one["failure"] for one in plans_of(events))
