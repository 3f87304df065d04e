"""
A market that the keeper has never seen: other reserves, other terms, hundreds of borrowers.

All of it comes from a seed. On top of the devnet's contracts, its seven reserves get new terms
and seven more are listed (6 to 18 decimals; one isolated, one siloed, two in an eMode of their
own); then borrowers enter, months pass, prices fall, and the pools of the new tokens open.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.aave import configure_reserve
from keeper.devnet.artifacts import Contract, Deployer
from keeper.devnet.assets import ASSETS, PRICE_UNIT, Asset
from keeper.devnet.feeds import Feed, _deploy_aggregator, feed_artifacts, token_artifact
from keeper.devnet.market import Devnet
from keeper.devnet.node import Transaction

BPS = 10_000
ON, OFF = True, False
DAY = 86_400
FOREVER = 2**40
IMPLEMENTATION = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
"""The storage slot of a proxy's implementation (EIP-1967)."""

OWN_EMODE = 2
ISOLATED, SILOED, NO_FLASH, FROZEN, PAUSED = "TK0", "TK1", "TK2", "TK3", "TK4"
EMODE_PAIR = ("TK5", "TK6")
DECIMALS = (18, 6, 8, 12, 18, 9, 17)
LAST_TICKS = {500: 887_270, 3_000: 887_220, 10_000: 887_200}


@dataclass(slots=True)
class Unseen:
    """The market; ``accounts`` are its borrowers, ``assets`` what it lists, by symbol."""

    devnet: Devnet
    assets: dict[str, Asset]
    tokens: dict[str, Contract]
    feeds: dict[str, Feed]
    accounts: list[str]

    def price(self, symbol: str) -> int:
        """Return the market's own price, 8 decimals."""
        return int(self.devnet.aave.oracle.call("getAssetPrice", self.tokens[symbol].address))


def listed(devnet: Devnet, assets: list[Asset]) -> tuple[dict[str, Contract], dict[str, Feed]]:
    """List more reserves in the market, each with a token and a price source of its own."""
    deployer = Deployer(devnet.node, devnet.accounts.admin)
    tokens, feeds = {}, {}
    for asset in assets:
        named = (asset.symbol, asset.symbol, asset.decimals)
        tokens[asset.symbol] = deployer.deploy(token_artifact(asset.symbol), *named)
        feeds[asset.symbol] = _deploy_aggregator(deployer, feed_artifacts(), asset)
    devnet.aave.oracle.send(
        "setAssetSources",
        [tokens[asset.symbol].address for asset in assets],
        [feeds[asset.symbol].source.address for asset in assets],
    )
    row = _row36 if devnet.aave.version == "3.6" else _row30
    for asset in assets:
        devnet.aave.configurator.send(
            "initReserves", [row(devnet, asset, tokens[asset.symbol].address)]
        )
        configure_reserve(devnet.aave.configurator, asset, tokens[asset.symbol].address)
        fund(devnet, tokens[asset.symbol], asset)
    return tokens, feeds


def fund(devnet: Devnet, token: Contract, asset: Asset) -> None:
    """Give the admin plenty of a token, approved for market and venue."""
    admin = devnet.accounts.admin
    token.send("mint", admin, asset.units_worth(10**11 * PRICE_UNIT))
    for spender in (devnet.aave.pool, devnet.venue.manager, devnet.venue.router):
        token.send("approve", spender.address, 2**256 - 1)


def open_pool(
    devnet: Devnet,
    sides: Mapping[str, tuple[Contract, int, int]],
    fee: int,
    usd: int,
) -> None:
    """
    Open a pool over all prices, at the oracle's price; ``usd`` of each token, 8 decimals.

    ``sides`` holds token, price and unit of each of the two symbols.
    """
    first, second = sorted(sides.values(), key=lambda side: int(side[0].address, 16))
    root = isqrt(((first[1] * second[2]) << 192) // (second[1] * first[2]))
    pair = (first[0].address, second[0].address, fee)
    manager, last = devnet.venue.manager, LAST_TICKS[fee]
    manager.send("createAndInitializePoolIfNecessary", *pair, root)
    amounts = [usd * unit // price for _, price, unit in (first, second)]
    manager.send("mint", (*pair, -last, last, *amounts, 0, 0, manager.sender, FOREVER))


def submit_prices(unseen: Unseen, prices: Mapping[str, int]) -> None:
    """Move the prices of tokens through their aggregators, in one block."""
    transactions = []
    for symbol, price in prices.items():
        aggregator = unseen.feeds[symbol].aggregator
        assert aggregator is not None
        transactions.append(
            aggregator.transaction("submit", aggregator.call("latestRound") + 1, price)
        )
    unseen.devnet.node.send_all(transactions)


def unseen_market(devnet: Devnet, *, seed: int, borrowers: int) -> Unseen:
    """Make the market, let its borrowers in, let months pass and prices fall."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible market, not a secret
    own = [_asset(f"TK{at}", decimals, chance) for at, decimals in enumerate(DECIMALS)]
    own[-1] = replace(own[-1], price=own[-2].price)  # one price for the eMode's pair
    tokens, feeds = listed(devnet, own)
    known = {asset.symbol: asset for asset in ASSETS}
    changed = {symbol: _other_terms(asset, chance) for symbol, asset in known.items()}
    unseen = Unseen(
        devnet=devnet,
        assets=changed | {asset.symbol: asset for asset in own},
        tokens=dict(devnet.tokens) | tokens,
        feeds=dict(devnet.feeds) | feeds,
        accounts=[],
    )
    _configure(unseen, chance)
    _lend(unseen, own)
    _enter(unseen, borrowers, chance)
    for _ in range(3):
        devnet.pass_time(chance.randint(20, 45) * DAY + chance.randint(0, DAY))
    _fall(unseen, chance)
    for asset in own:
        _open_pools(unseen, asset, chance)
    configurator = devnet.aave.configurator
    configurator.send("setReserveFlashLoaning", tokens[NO_FLASH].address, OFF)
    configurator.send("setReserveFreeze", tokens[FROZEN].address, ON)
    configurator.send("setReservePause", tokens[PAUSED].address, ON)
    return unseen


def _asset(symbol: str, decimals: int, chance: random.Random) -> Asset:
    threshold = chance.randint(6_000, 8_400)
    return Asset(
        symbol=symbol,
        decimals=decimals,
        price=chance.randint(PRICE_UNIT // 50, 4_000 * PRICE_UNIT),
        ltv=threshold - chance.randint(100, 500),
        threshold=threshold,
        bonus=chance.randint(10_300, 11_200),
        reserve_factor=chance.randint(0, 3_000),
        slope1=chance.randint(200, 1_200),
    )


def _other_terms(asset: Asset, chance: random.Random) -> Asset:
    threshold = chance.randint(6_500, 8_600)
    return Asset(
        symbol=asset.symbol,
        decimals=asset.decimals,
        price=asset.price,
        ltv=threshold - chance.randint(100, 500),
        threshold=threshold,
        bonus=chance.randint(10_250, 11_100),
        reserve_factor=chance.randint(0, 4_000),
        slope1=asset.slope1,
    )


def _configure(unseen: Unseen, chance: random.Random) -> None:
    aave, tokens = unseen.devnet.aave, unseen.tokens
    set_ = aave.configurator.send
    for asset in unseen.assets.values():
        token = tokens[asset.symbol].address
        set_("configureReserveAsCollateral", token, asset.ltv, asset.threshold, asset.bonus)
        set_("setReserveFactor", token, asset.reserve_factor)
        set_("setLiquidationProtocolFee", token, chance.choice((0, 500, 1_000, 2_000, 3_500)))
    premium = "updateFlashloanPremium" if aave.version == "3.6" else "updateFlashloanPremiumTotal"
    set_(premium, chance.randint(0, 12))
    set_("setDebtCeiling", tokens[ISOLATED].address, 5_000_000_00)
    for symbol in ("USDC", "DAI"):
        set_("setBorrowableInIsolation", tokens[symbol].address, ON)
    set_("setSiloedBorrowing", tokens[SILOED].address, ON)
    terms = (9_000, 9_300, 10_150)
    if aave.version == "3.6":
        set_("setEModeCategory", OWN_EMODE, *terms, "own pair")
        for symbol in EMODE_PAIR:
            set_("setAssetCollateralInEMode", tokens[symbol].address, OWN_EMODE, ON)
            set_("setAssetBorrowableInEMode", tokens[symbol].address, OWN_EMODE, ON)
    else:
        # The category has a price of its own, under a name that is no reserve.
        name = to_checksum_address(keccak(text="eMode price")[-20:])
        aave.oracle.send("setAssetSources", [name], [unseen.feeds[EMODE_PAIR[0]].source.address])
        set_("setEModeCategory", OWN_EMODE, *terms, name, "own pair")
        for symbol in EMODE_PAIR:
            set_("setAssetEModeCategory", tokens[symbol].address, OWN_EMODE)


def _lend(unseen: Unseen, own: list[Asset]) -> None:
    pool, admin = unseen.devnet.aave.pool, unseen.devnet.accounts.admin
    for asset in own:
        token = unseen.tokens[asset.symbol].address
        pool.send("supply", token, asset.units_worth(50_000_000 * PRICE_UNIT), admin, 0)


def _enter(unseen: Unseen, count: int, chance: random.Random) -> None:
    """Let borrowers supply, choose their mode and borrow; a block for each of these."""
    node, aave = unseen.devnet.node, unseen.devnet.aave
    supplies: list[Transaction] = []
    modes: list[Transaction] = []
    loans: list[Transaction] = []
    for number in range(count):
        who = str(to_checksum_address(keccak(text=f"unseen {chance.random()} {number}")[-20:]))
        unseen.accounts.append(who)
        collateral, debt, e_mode = _shape(unseen, chance)
        for symbol, amount in collateral.items():
            token = unseen.tokens[symbol].address
            supplies.append(aave.pool.transaction("supply", token, amount, who, 0))
        if e_mode:
            modes.append(aave.pool.transaction("setUserEMode", e_mode, sender=who))
        if ISOLATED in collateral:
            token = unseen.tokens[ISOLATED].address
            modes.append(
                aave.pool.transaction("setUserUseReserveAsCollateral", token, ON, sender=who)
            )
        for symbol, amount in debt.items():
            stable = aave.version == "3.0" and symbol in ("USDC", "DAI") and chance.random() < 0.3
            stable = stable and symbol not in collateral
            token, mode = unseen.tokens[symbol].address, 1 if stable else 2
            loans.append(aave.pool.transaction("borrow", token, amount, mode, 0, who, sender=who))
    node.batch([("anvil_setBalance", [who, hex(10**18)]) for who in unseen.accounts])
    for wave in (supplies, modes, loans):
        node.send_all(wave)


def _shape(unseen: Unseen, chance: random.Random) -> tuple[dict[str, int], dict[str, int], int]:
    """Return what one borrower supplies and borrows, in token units, and its eMode."""
    usd = int(10 ** chance.uniform(1.5, 5.3) * PRICE_UNIT)
    kind, e_mode = chance.random(), 0
    free = [symbol for symbol in unseen.assets if symbol not in (ISOLATED, SILOED)]
    if kind < 0.08:
        supplied, borrowed, ltv = [ISOLATED], [chance.choice(("USDC", "DAI"))], None
        usd = min(usd, 40_000 * PRICE_UNIT)
    elif kind < 0.16:
        supplied, borrowed, ltv = chance.sample(free, 2), [SILOED], None
    elif kind < 0.28:
        e_mode, ltv = OWN_EMODE, 9_000
        supplied, borrowed = list(EMODE_PAIR), [chance.choice(EMODE_PAIR)]
    else:
        supplied = chance.sample(free, chance.randint(1, 3))
        dollars = ["USDC", "USDT", "DAI"]
        choice = dollars if chance.random() < 0.6 else free
        borrowed, ltv = chance.sample(choice, chance.randint(1, 3)), None
    shares = _shares(len(supplied), chance)
    room = sum(
        usd * share // BPS * (ltv or unseen.assets[symbol].ltv) // BPS
        for symbol, share in zip(supplied, shares, strict=True)
    )
    debt = int(room * chance.uniform(0.85, 0.985))
    parts = _shares(len(borrowed), chance)
    units = unseen.assets
    return (
        {s: units[s].units_worth(usd * p // BPS) for s, p in zip(supplied, shares, strict=True)},
        {s: units[s].units_worth(debt * p // BPS) for s, p in zip(borrowed, parts, strict=True)},
        e_mode,
    )


def _shares(count: int, chance: random.Random) -> list[int]:
    weights = [chance.randint(1, 9) for _ in range(count)]
    shares = [BPS * weight // sum(weights) for weight in weights]
    shares[0] += BPS - sum(shares)
    return shares


def _fall(unseen: Unseen, chance: random.Random) -> None:
    """Move every price: most fall, some rise; the devnet's pools follow."""
    devnet = unseen.devnet
    known = {asset.symbol for asset in ASSETS}
    moved = {
        symbol: asset.price * chance.randint(7_400, 10_100) // BPS
        for symbol, asset in unseen.assets.items()
        if symbol not in ("USDC", "USDT", "DAI", "wstETH")
    }
    devnet.set_prices({symbol: price for symbol, price in moved.items() if symbol in known})
    submit_prices(unseen, {s: price for s, price in moved.items() if s not in known})


def _open_pools(unseen: Unseen, asset: Asset, chance: random.Random) -> None:
    """Open one pool of a new token, against WETH or USDC, of some depth."""
    other = chance.choice(("WETH", "USDC"))
    sides: dict[str, Any] = {
        symbol: (unseen.tokens[symbol], unseen.price(symbol), unseen.assets[symbol].unit)
        for symbol in (asset.symbol, other)
    }
    usd = chance.randint(400_000, 8_000_000) * PRICE_UNIT
    open_pool(unseen.devnet, sides, chance.choice((500, 3_000, 10_000)), usd)


def _row36(devnet: Devnet, asset: Asset, token: str) -> tuple[object, ...]:
    """Return one ``InitReserveInput`` of 3.6, with the implementations that the market has."""
    a_token, _, debt_token, _ = _implementations(devnet)
    rates = encode(
        ["(uint16,uint32,uint32,uint32)"], [(asset.optimal, 0, asset.slope1, asset.slope2)]
    )
    names = [f"{prefix}{asset.symbol}" for prefix in ("Aave ", "a", "Aave Debt ", "debt")]
    return (a_token, debt_token, token, *names, b"", rates)


def _row30(devnet: Devnet, asset: Asset, token: str) -> tuple[object, ...]:
    """Return one ``InitReserveInput`` of 3.0."""
    a_token, stable, variable, rates = _implementations(devnet)
    names = [
        f"{prefix}{asset.symbol}"
        for prefix in ("Aave ", "a", "Aave Debt ", "debt", "Aave Stable Debt ", "stableDebt")
    ]
    nobody = "0x" + "00" * 20
    places = (rates, token, devnet.accounts.treasury, nobody)
    return (a_token, stable, variable, asset.decimals, *places, *names, b"")


def _implementations(devnet: Devnet) -> tuple[str, str, str, str]:
    """Return the implementations of aToken, stable and variable debt, and the rates' address."""
    reserve = devnet.aave.pool.call("getReserveData", devnet.tokens["LINK"].address)
    proxies, rates = reserve[8:11], reserve[11]
    slots = devnet.node.batch(
        [("eth_getStorageAt", [proxy, IMPLEMENTATION, "latest"]) for proxy in proxies]
    )
    a_token, stable, variable = ("0x" + slot[-40:] for slot in slots)
    return a_token, stable, variable, rates
