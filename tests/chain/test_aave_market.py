"""The Aave v3 adapter against the deployed contracts of 3.0 and 3.6."""

from collections import Counter

import pytest
from eth_abi import decode
from eth_utils import keccak

from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.domain.decision import SkipReason
from keeper.domain.errors import ConfigError, RpcRefused
from keeper.domain.head import Basis
from keeper.domain.opportunity import Outcome, Window
from keeper.domain.units import UINT256_MAX
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.adapter import Options, build
from keeper.protocols.aave_v3.position import Clock
from tests.support.history import history_of
from tests.support.undoing import undo

pytestmark = pytest.mark.early(11)

LIQUIDATION_CALL = (
    "0x"
    + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
YES, NO = True, False
RETURNS_TRUE = "0x600160005260206000f3"
NEWCOMER = checksum("0x" + "31" * 20)
MONTH = 30 * 24 * 3600
USD = 10**8


class Chain:
    """A devnet whose admin lends, liquidates and governs."""

    def __init__(self, devnet):
        self.version = devnet.aave.version
        self.url = f"http://127.0.0.1:{devnet.node.port}"
        self.node, self.admin = devnet.node, devnet.accounts.admin
        self.tokens, self.feeds, self.aave = devnet.tokens, devnet.feeds, devnet.aave
        self.people = devnet.borrowers
        self._devnet = devnet

    def price(self, **dollars):
        """Set prices in whole dollars, by symbol."""
        prices = {symbol: price * USD for symbol, price in dollars.items()}
        self._devnet.set_prices(prices, leave_pools=True)

    def shape(self, offer):
        """Return the kind of account that an offer is about, or that it needs no swap."""
        if offer.spend_token == offer.receive_token:
            return "same asset"
        return next(each.kind for each in self.people if each.address == offer.account)


@pytest.fixture
def chain(devnet):
    return Chain(devnet)


@pytest.fixture
async def reader(chain):
    async with connect([chain.url]) as made:
        yield made


@pytest.fixture
async def market(chain, reader):
    made = build(
        Options(addresses_provider=chain.aave.provider.address), from_block=0, reader=reader
    )
    head = await reader.head()
    await made.discover(head)
    await made.load(
        head, made.borrowers(await history_of(reader, made.history_filter, 0, head.number))
    )
    return made


async def snapshot(market, reader):
    head = await reader.head()
    calls = market.calls(head)
    results = await reader.aggregate(calls, Basis(block_hash=head.hash))
    return market.apply(head, results)[0]


def differing(chain, taken):
    """Return the accounts whose figures are not the contract's."""
    found = []
    for health in taken.accounts():
        said = chain.aave.pool.call("getUserAccountData", health.account)
        if (said[0], said[1], said[5]) != (
            health.collateral_base,
            health.debt_base,
            health.health_factor,
        ):
            found.append((health, said))
    return found


async def test_every_health_equals_the_contracts(chain, market, reader):
    """To the wei, seconds and months after the balances were read, at any price."""
    for seconds in (1, 13, 3_600, MONTH, 7 * MONTH):
        chain.node.pass_time(seconds)
        taken = await snapshot(market, reader)
        assert len(taken.accounts()) == len(chain.people)
        assert differing(chain, taken) == []
    holdings = [h for each in taken.borrowers.values() for h in each.holdings.values()]
    assert any(h.stable_principal for h in holdings) == (chain.version == "3.0")
    chain.price(WETH=2_321, LINK=9)
    assert differing(chain, await snapshot(market, reader)) == []


async def test_logs_say_who_changed_and_the_contract_how_much(chain, market, reader):
    """Repaying, supplying, flags, eModes and new borrowers are all followed by logs alone."""
    first = chain.node.block_number() + 1
    chain.node.pass_time(MONTH)
    pool, weth = chain.aave.pool, chain.tokens["WETH"].address
    by_kind = {person.kind: person.address for person in chain.people}
    dai, usdc = chain.tokens["DAI"].address, chain.tokens["USDC"].address
    pool.send("repay", dai, 10**20, 2, by_kind["two_by_two"])
    pool.send("supply", weth, 10**18, by_kind["short"], 0)
    pool.send("setUserUseReserveAsCollateral", weth, NO, sender=by_kind["short"])
    pool.send("setUserEMode", 0, sender=by_kind["plain"])
    chain.node.set_balance(NEWCOMER, 10**18)
    pool.send("supply", weth, 10**18, NEWCOMER, 0)
    pool.send("borrow", usdc, 10**8, 2, 0, NEWCOMER, sender=NEWCOMER)
    chain.node.pass_time(MONTH)
    logs = await reader.logs_between(market.log_filter, first, chain.node.block_number())
    quiet = len(market.calls(await reader.head()))

    market.note(logs)
    busy = len(market.calls(await reader.head()))
    taken = await snapshot(market, reader)

    assert len(taken.accounts()) == len(chain.people) + 1
    assert differing(chain, taken) == []
    assert busy > quiet
    assert len(market.calls(await reader.head())) == quiet


async def test_a_failing_price_source_fails_alone(chain, market, reader):
    """Only accounts that use the asset are unpriced; the warning names it."""
    chain.node.rpc("anvil_setCode", [chain.feeds["LINK"].source.address, "0x"])
    chain.node.pass_time(1)
    taken = await snapshot(market, reader)
    deep = {person.address for person in chain.people if person.kind == "deep"}

    assert {h.account for h in taken.accounts() if h.unpriced} - {chain.admin} == deep
    assert len(taken.warnings) == 1
    assert "LINK" in taken.warnings[0]


async def test_no_market_where_there_is_none(chain, reader):
    """A wrong address is a configuration error, not a crash."""
    for wrong in (chain.admin, chain.tokens["WETH"].address):
        with pytest.raises(ConfigError):
            await build(Options(addresses_provider=wrong), from_block=0, reader=reader).discover(
                await reader.head()
            )


async def test_pauses_are_read_from_the_contract(chain, market, reader):
    """A paused reserve blocks its pairs and its flash loan; others go on."""
    chain.price(WETH=2_000)
    chain.aave.configurator.send("setReservePause", chain.tokens["USDC"].address, YES)
    taken = await snapshot(market, reader)
    plain = next(person.address for person in chain.people if person.kind == "plain")
    found, refusals = taken.opportunities(plain, window(taken))

    assert not found
    assert [refusal.reason for refusal in refusals] == [SkipReason.RESERVE_PAUSED]
    assert (
        taken.flash_lenders(chain.tokens["USDC"].address)[1][0].reason is SkipReason.RESERVE_PAUSED
    )
    assert taken.flash_lenders(chain.tokens["DAI"].address)[0]


def window(taken):
    return Window(earliest=taken.head.timestamp + 12, deadline=taken.head.timestamp + 120)


async def test_a_flash_loan_costs_what_the_lender_says(chain, market, reader):
    """The fee to the wei, whatever the amount; the gas within the estimate."""
    taken = await snapshot(market, reader)
    borrower = checksum("0x" + "f1" * 20)
    chain.node.rpc("anvil_setCode", [borrower, RETURNS_TRUE])
    chain.node.set_balance(borrower, 10**18)
    for symbol in ("USDC", "WETH", "USDT"):
        token = chain.tokens[symbol]
        lender = taken.flash_lenders(token.address)[0][0]
        token.send("transfer", borrower, lender.available // 1_000)
        token.send("approve", chain.aave.pool.address, UINT256_MAX, sender=borrower)
        assert lender.available == taken.liquidity[lender.liquidity]
        for amount in (1, 999, 1_001, 10**6 + 1, lender.available):
            before = token.call("balanceOf", borrower)
            receipt = chain.aave.pool.send(
                "flashLoanSimple", borrower, token.address, amount, b"", 0
            )
            assert before - token.call("balanceOf", borrower) == lender.fee(amount)
            assert int(receipt["gasUsed"], 16) <= lender.gas


async def test_an_emode_may_have_its_own_price(chain, market, reader):
    """In 3.0 a category's source replaces its assets' prices, in health and in liquidations."""
    if chain.version != "3.0":
        pytest.skip("eModes have no price source from 3.2 on")
    source = checksum("0x" + "e0" * 20)
    weth_source = chain.feeds["WETH"].source.address
    chain.aave.oracle.send("setAssetSources", [source], [weth_source])
    first = chain.node.block_number() + 1
    chain.aave.configurator.send("setEModeCategory", 1, 9_300, 9_500, 10_100, source, "own")
    market.note(await reader.logs_between(market.log_filter, first, first))
    await market.refresh(await reader.head())
    taken = await snapshot(market, reader)

    assert differing(chain, taken) == []
    person = next(each for each in chain.people if each.kind == "e_mode")
    assert taken.account(person.address).liquidatable
    found, _ = taken.opportunities(person.address, window(taken))
    assert found
    for where, offer in enumerate(found):
        land(chain, taken, offer, offer.outcome(UINT256_MAX), where)

    chain.node.rpc("anvil_setCode", [weth_source, "0x"])
    chain.node.pass_time(1)
    failing = await snapshot(market, reader)
    assert failing.account(person.address).unpriced
    assert any("eMode 1" in warning for warning in failing.warnings)


async def test_a_grace_period_holds_liquidations_back(chain, market, reader):
    """The pool refuses until the period has passed, and so does the adapter."""
    if chain.version == "3.0":
        pytest.skip("3.0 has no grace periods")
    chain.price(WETH=2_000)
    usdc, now = chain.tokens["USDC"].address, (await reader.head()).timestamp
    for paused in (YES, NO):
        chain.aave.configurator.send("setReservePause", usdc, paused, 3_600)
    taken = await snapshot(market, reader)
    plain = next(person.address for person in chain.people if person.kind == "plain")

    _, refusals = taken.opportunities(plain, window(taken))
    later = Window(earliest=now + 3_700, deadline=now + 3_800)
    found, _ = taken.opportunities(plain, later)

    assert [refusal.reason for refusal in refusals] == [SkipReason.GRACE_PERIOD]
    land(chain, taken, found[0], found[0].outcome(UINT256_MAX), 0)


async def test_the_sentinel_protects_down_to_95_percent(chain, market, reader):
    """While it says no, only the deeply unhealthy can be liquidated."""
    sentinel = "0x" + "5e" * 20
    chain.node.rpc("anvil_setCode", [sentinel, "0x60006000526020" + "6000f3"])
    first = chain.node.block_number() + 1
    chain.aave.provider.send("setPriceOracleSentinel", sentinel)
    market.note(await reader.logs_between(market.log_filter, first, first))
    await market.refresh(await reader.head())
    chain.price(**SLIGHTLY)
    taken = await snapshot(market, reader)
    verdicts = set()
    for health in taken.accounts():
        if health.liquidatable:
            found, refusals = taken.opportunities(health.account, window(taken))
            deep = health.health_factor < rules.CLOSE_FACTOR_THRESHOLD
            assert bool(found) == deep
            if not deep:
                assert [refusal.reason for refusal in refusals] == [SkipReason.SENTINEL]
            verdicts.add(deep)
    assert False in verdicts


SLIGHTLY = {"WETH": 2_800, "LINK": 13, "WBTC": 54_000, "wstETH": 3_248}
CLEARLY = {"WETH": 2_600, "LINK": 11, "WBTC": 52_000, "wstETH": 2_912}
UNDER_WATER = {"WETH": 1_700, "LINK": 7, "WBTC": 33_000, "wstETH": 1_700}


@pytest.mark.parametrize(
    ("prices", "kinds"),
    [
        (SLIGHTLY, {("all", "share"), ("all", "debt"), ("partial", "share")}),
        (CLEARLY, {("all", "debt"), ("all", "collateral"), ("partial", "share")}),
        (UNDER_WATER, {("all", "collateral"), ("partial", "share")}),
    ],
    ids=("slightly", "clearly", "under water"),
)
async def test_liquidations_do_what_the_outcome_says(chain, market, reader, prices, kinds):
    """Whatever the amount and wherever in the window it lands: event and balances to the wei."""
    chain.node.pass_time(2 * MONTH)
    chain.price(**prices)
    taken = await snapshot(market, reader)
    assert differing(chain, taken) == []
    tried, shapes = Counter(), Counter()
    for health in taken.accounts():
        if not health.liquidatable:
            continue
        found, refusals = taken.opportunities(health.account, window(taken))
        assert found, refusals
        for number, offer in enumerate(found):
            for turn, amount in enumerate(amounts(offer)):
                done = offer.outcome(amount)
                if not isinstance(done, Outcome):
                    assert amount == UINT256_MAX
                    assert done.reason in {
                        SkipReason.MUST_NOT_LEAVE_DUST,
                        SkipReason.UNCERTAIN_THRESHOLD,
                    }
                    if done.reason is SkipReason.MUST_NOT_LEAVE_DUST:
                        refused(chain, offer, amount)
                    continue
                land(chain, taken, offer, done, (number + turn) % 3)
                tried[kind(offer, amount)] += 1
                shapes[chain.shape(offer)] += 1
    expected = kinds - {("all", "debt")} if chain.version == "3.0" else kinds
    assert expected <= set(tried)
    assert {"plain", "e_mode", "same_asset", "same asset", "stable_rate"} <= set(shapes)
    assert prices is SLIGHTLY or "two_by_two" in shapes


def amounts(offer):
    yield UINT256_MAX
    if offer.partial is not None:
        low, high = offer.partial
        yield low
        yield (low + high) // 2
        yield high


def kind(offer, amount):
    done = rules.liquidation(offer.first, amount, offer.rules)
    return (
        "all" if amount == UINT256_MAX else "partial",
        "collateral" if done.all_collateral else "debt" if done.all_debt else "share",
    )


def land(chain, taken, offer, outcome, where):
    """Liquidate at one timestamp of the window, compare, and undo."""
    moment = (
        offer.window.earliest,
        (offer.window.earliest + offer.window.deadline) // 2,
        offer.window.deadline,
    )[where]
    kept = chain.node.rpc("evm_snapshot")
    tokens = {token.address: token for token in chain.tokens.values()}
    before = {at: tokens[at].call("balanceOf", chain.admin) for at in tokens}
    chain.node.rpc("evm_setNextBlockTimestamp", [moment])
    receipt = chain.aave.pool.send("liquidationCall", *arguments(offer, outcome.amount))
    log = next(each for each in receipt["logs"] if each["topics"][0] == LIQUIDATION_CALL)
    spent, received = decode(["uint256", "uint256"], bytes.fromhex(log["data"][2:])[:64])
    after = {at: tokens[at].call("balanceOf", chain.admin) for at in tokens}
    left = chain.aave.pool.call("getUserAccountData", offer.account)[5]
    undo(chain.node, kept)

    expected = expected_at(taken, offer, outcome.amount, moment)
    assert (spent, received) == (expected.repaid, expected.received)
    assert spent <= outcome.spend_at_most
    assert received >= outcome.receive_at_least
    if moment == offer.window.earliest:
        assert (spent, received) == (outcome.spend, outcome.receive)
        assert offer.after(outcome.amount).health_factor == left
    change = Counter({offer.receive_token: received})
    change[offer.spend_token] -= spent
    assert {at: after[at] - before[at] for at in tokens if after[at] != before[at]} == dict(change)
    assert int(receipt["gasUsed"], 16) <= offer.gas


def refused(chain, offer, amount):
    """The pool itself reverts what the adapter would not try."""
    call = chain.aave.pool.transaction("liquidationCall", *arguments(offer, amount))
    with pytest.raises(RpcRefused):
        chain.node.call(call)


def arguments(offer, amount):
    return offer.receive_token, offer.spend_token, offer.account, amount, NO


def expected_at(taken, offer, amount, moment):
    """Return the rules' answer at the landing timestamp."""
    kept, clock = taken.borrowers[offer.account], Clock(taken.pool, moment)
    position = clock.position(kept)
    pair = clock.pair(kept, position, offer.debt.identity, offer.collateral.identity)
    return rules.liquidation(pair, amount, offer.rules)


async def test_a_flash_loan_in_the_same_block_leaves_the_plan_enough(chain, market, reader):
    """Its fee may raise what collateral is worth at once, and so what has to be repaid for it."""
    chain.price(**UNDER_WATER)
    taken = await snapshot(market, reader)
    plain = next(person.address for person in chain.people if person.kind == "plain")
    offer = taken.opportunities(plain, window(taken))[0][0]
    outcome, weth = offer.outcome(UINT256_MAX), chain.tokens["WETH"]
    borrower = checksum("0x" + "f1" * 20)
    chain.node.rpc("anvil_setCode", [borrower, RETURNS_TRUE])
    chain.node.set_balance(borrower, 10**18)
    lender = taken.flash_lenders(weth.address)[0][0]
    amount = lender.available // 4
    weth.send("transfer", borrower, lender.fee(amount))
    weth.send("approve", chain.aave.pool.address, UINT256_MAX, sender=borrower)
    loan = chain.aave.pool.transaction(
        "flashLoanSimple", borrower, weth.address, amount, b"", 0, sender=chain.admin
    )
    call = chain.aave.pool.transaction("liquidationCall", *arguments(offer, UINT256_MAX))
    receipts = chain.node.send_all([loan, call])

    log = next(each for each in receipts[1]["logs"] if each["topics"][0] == LIQUIDATION_CALL)
    spent = decode(["uint256"], bytes.fromhex(log["data"][2:])[:32])[0]
    assert spent <= outcome.spend_at_most
    assert (spent > expected_last(taken, offer)) == (chain.version == "3.0")


def expected_last(taken, offer):
    """Return what would be repaid at the deadline if nobody else did anything."""
    return expected_at(taken, offer, UINT256_MAX, offer.window.deadline).repaid
