"""What a pool does not take is not advised, and what is advised it takes: on real contracts."""

from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address

from keeper.chain.reader import connect
from keeper.devnet.borrowers import Borrower, enter_market
from keeper.domain.advice import CureKind
from keeper.domain.errors import RpcRefused
from keeper.domain.units import WAD
from tests.chain.advice_world import DAY, aave_snapshot, health_after

ON, OFF = True, False
SOMEONE = Borrower(
    address=to_checksum_address("0x" + "ab" * 20),
    kind="advised",
    collateral={"WETH": 10 * 10**18, "WBTC": 10**8 // 10},
    debt={"USDC": 12_000 * 10**6, "DAI": 4_000 * 10**18},
)
ADD, REPAY = CureKind.ADD_COLLATERAL, CureKind.REPAY_DEBT


class Advised:
    """An account of two collaterals and two debts, and what it is advised for a time ahead."""

    def __init__(self, devnet):
        self.devnet, self.pool = devnet, devnet.aave.pool
        enter_market(devnet.node, devnet.aave, devnet.tokens, [SOMEONE])
        self.configurator = devnet.aave.configurator
        newest = devnet.node.rpc("eth_getBlockByNumber", ["latest", False])
        self.moment, self.target = int(newest["timestamp"], 16) + 2 * DAY, None

    def token(self, symbol):
        return self.devnet.tokens[symbol].address

    async def advice(self, target=None):
        async with connect([f"http://127.0.0.1:{self.devnet.node.port}"]) as reader:
            snapshot = await aave_snapshot(self.devnet, reader)
        health = snapshot.account(SOMEONE.address).health_factor
        self.target = target or self.target or health * 103 // 100
        return snapshot.advice(SOMEONE.address, self.target, self.moment)

    def after(self, cure, amount):
        return health_after(self.devnet, SOMEONE.address, cure, amount, self.moment)

    def exact(self, cures):
        """Every amount reaches the target on the contracts; one unit less does not."""
        for one in cures:
            assert self.after(one, one.amount - 1) < self.target <= self.after(one, one.amount), one
        return {(one.kind, one.symbol) for one in cures}

    def refused(self, cure, amount):
        """The pool does not take so much at that time."""
        with pytest.raises(RpcRefused):
            self.after(cure, amount)
        return True


EVERYTHING = {(ADD, "WETH"), (ADD, "WBTC"), (REPAY, "USDC"), (REPAY, "DAI")}


@pytest.fixture
def advised(devnet):
    return Advised(devnet)


def of(advice, kind, symbol):
    return next((one for one in advice.cures if (one.kind, one.symbol) == (kind, symbol)), None)


def room_left(advised, symbol, cap):
    """How much of a token the cap lets in now, by the token of its supply."""
    asset = advised.token(symbol)
    supplied = advised.devnet.aave.data_provider.call("getATokenTotalSupply", asset)
    return cap * 10 ** advised.devnet.tokens[symbol].call("decimals") - supplied


async def test_a_supply_cap_is_told_to_the_unit_that_the_pool_takes(advised):
    """Room for the lesser cure and not for the greater one; then room for nothing."""
    pool, wbtc = advised.pool, advised.token("WBTC")
    advised.moment -= 2 * DAY - 1_800  # the interest of two days is more than the room
    wanted = of(await advised.advice(), ADD, "WBTC")
    cap = -room_left(advised, "WBTC", 0) // 10**8 + 1
    advised.configurator.send("setSupplyCap", wbtc, cap)
    room = wanted.amount * 3 // 2
    pool.send("supply", wbtc, room_left(advised, "WBTC", cap) - room, pool.sender, 0)

    assert advised.exact((await advised.advice()).cures) == EVERYTHING
    greater = await advised.advice(advised.target * 104 // 100)
    (told,) = (one for one in greater.impossible if one.startswith("adding WBTC"))
    needed, left = (int(word) for word in told.replace(":", "").split() if word.isdigit())
    assert advised.exact(greater.cures) == EVERYTHING - {(ADD, "WBTC")}
    assert advised.refused(wanted, needed)
    assert advised.after(wanted, left)
    assert advised.refused(wanted, left + 1)

    pool.send("supply", wbtc, room_left(advised, "WBTC", cap) - left // 100, pool.sender, 0)
    full = await advised.advice(advised.target * 100 // 104)
    assert of(full, ADD, "WBTC") is None
    assert advised.refused(wanted, wanted.amount)


@pytest.mark.parametrize("symbol", ["WETH", "USDC"])
async def test_a_frozen_reserve_takes_repayments_only(advised, symbol):
    """Frozen collateral is not advised and the pool refuses it; a frozen debt can be repaid."""
    free = await advised.advice()
    advised.configurator.send("setReserveFreeze", advised.token(symbol), ON)
    found = await advised.advice()

    assert advised.exact(found.cures) == EVERYTHING - {(ADD, symbol)}
    if symbol == "WETH":
        assert "adding WETH: the reserve is frozen" in found.impossible
    cure = of(free, ADD, symbol) or replace(of(free, REPAY, symbol), kind=ADD)
    assert advised.refused(cure, cure.amount)


@pytest.mark.parametrize(("symbol", "kind"), [("WETH", ADD), ("USDC", REPAY)])
async def test_a_paused_reserve_takes_nothing(advised, symbol, kind):
    """Neither a supply nor a repayment is advised, and the pool refuses either."""
    free = await advised.advice()
    advised.configurator.send("setReservePause", advised.token(symbol), ON)
    found = await advised.advice()

    assert advised.exact(found.cures) == EVERYTHING - {(kind, symbol)}
    assert any(f"{symbol}: the reserve is paused" in one for one in found.impossible)
    cure = of(free, kind, symbol)
    assert advised.refused(cure, cure.amount)


async def test_a_supply_that_backs_nothing_is_not_advised(advised):
    """With the collateral flag off the pool takes more of it, and the health stays what it was."""
    wanted = of(await advised.advice(), ADD, "WBTC")
    flag = advised.pool.transaction(
        "setUserUseReserveAsCollateral", wanted.token, OFF, sender=SOMEONE.address
    )
    advised.devnet.node.send_all([flag])
    found = await advised.advice()

    left = advised.exact(found.cures)
    assert (ADD, "WBTC") not in left
    assert (ADD, "WETH") in left
    assert advised.after(wanted, 10 * wanted.amount) == advised.after(wanted, 0)


async def test_an_owed_token_is_advised_as_collateral_only_where_it_would_count(advised):
    """Where no repayment is enough it may be supplied, unless its loan-to-value is zero."""
    found = await advised.advice(10**6 * WAD)
    new = [one for one in found.cures if one.is_new]
    assert {one.symbol for one in new} == {"USDC", "DAI"}
    usdc = of(found, ADD, "USDC")
    terms = advised.devnet.aave.data_provider.call(
        "getReserveConfigurationData", advised.token("USDC")
    )
    advised.configurator.send("configureReserveAsCollateral", usdc.token, 0, terms[2], terms[3])
    barred = await advised.advice()

    assert of(barred, ADD, "USDC") is None
    assert any(one.startswith("adding USDC: with a loan-to-value") for one in barred.impossible)
    assert advised.after(usdc, 10**6) == advised.after(usdc, 0)
