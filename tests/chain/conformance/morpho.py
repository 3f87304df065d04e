"""Morpho Blue as a world of the conformance suite."""

from dataclasses import dataclass, replace

from keeper.chain.abi import checksum, topic, word
from keeper.devnet.market import Devnet
from keeper.devnet.morpho import enter_markets
from keeper.devnet.morpho_markets import BROKEN, HOSTILE, planned_morpho_borrowers
from keeper.domain.errors import RpcRefused
from keeper.domain.units import UINT256_MAX, WAD
from tests.chain.conformance.aave import present
from tests.chain.conformance.world import Failure, Landed, Said

LIQUIDATE = topic("Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)")
NEWCOMER = checksum("0x" + "32" * 20)
PRICE_SCALE = 10**36
ANSWERS, REVERTS, BURNS = 0, 1, 2
HEALTHY_SHARE = 2
YES = True


@dataclass(frozen=True)
class MorphoWorld:
    """One contract with many isolated markets; its health is said by what it refuses."""

    name: str
    devnet: Devnet
    falls = (
        {"WETH": 2_900, "LINK": 13, "WBTC": 58_000},
        {"WETH": 2_600, "LINK": 11, "WBTC": 52_000},
        {"WETH": 2_000, "LINK": 7, "WBTC": 40_000},
    )

    @property
    def morpho(self):
        return self.devnet.morpho

    def options(self):
        feeds = {
            self.devnet.tokens[symbol].address: feed.source.address
            for symbol, feed in self.devnet.feeds.items()
            if feed.aggregator is not None
        }
        return {
            "protocol": "morpho_blue",
            "morpho": self.morpho.contract.address,
            "all": True,
            "from_block": self.morpho.from_block,
            "usd_feeds": feeds,
        }

    def people(self):
        return {
            (self.morpho.markets[each.market].id, each.address) for each in self.morpho.borrowers
        }

    def market(self, key):
        return next(one for one in self.morpho.markets.values() if key.endswith(one.id))

    def said(self, taken, account):
        one, contract = self.market(taken.market), self.morpho.contract
        _, shares, pledged = contract.call("position", bytes.fromhex(one.id[2:]), account)
        # Repaying tells the debt as the contract itself accrues and rounds it.
        owed = contract.call("repay", one.terms, 0, shares, account, b"")[0]
        most = pledged * one.oracle.call("price") // PRICE_SCALE * one.spec.lltv // WAD
        loan, collateral = one.terms[0], one.terms[1]
        return Said(
            not self.refuses(one, account),
            most * WAD // owed,
            present({collateral: pledged}),
            present({loan: owed}),
        )

    def refuses(self, one, account):
        """Whether the contract refuses to seize one unit since the account is healthy."""
        try:
            self.morpho.contract.call("liquidate", one.terms, account, 1, 0, b"")
        except RpcRefused as error:
            return "position is healthy" in error.text
        return False

    def liquidate(self, offer, amount):
        data = offer.step(amount).data
        seized, shares = word(data, 7), word(data, 8)
        one, contract = self.market(offer.market), self.morpho.contract
        sent = contract.transaction("liquidate", one.terms, offer.account, seized, shares, b"")
        (receipt,) = self.devnet.node.send_all([sent])
        log = next(e for e in receipt["logs"] if e["topics"][0] == "0x" + LIQUIDATE.hex())
        told = bytes.fromhex(log["data"][2:])
        return Landed(word(told, 0), word(told, 2), word(told, 3))

    def actions(self):
        contract, markets = self.morpho.contract, self.morpho.markets
        first, second, third = self.morpho.borrowers[:3]
        terms = markets[first.market].terms
        newer = (*terms[:4], 945 * 10**15)
        self.devnet.node.set_balance(NEWCOMER, 10**18)
        return (
            (contract.transaction("repay", terms, first.debt // 2, 0, first.address, b""),),
            (contract.transaction("accrueInterest", markets[third.market].terms),),
            (
                contract.transaction("supplyCollateral", terms, 10**18, NEWCOMER, b""),
                contract.transaction(
                    "borrow", terms, 10**8, 0, NEWCOMER, NEWCOMER, sender=NEWCOMER
                ),
            ),
            (
                contract.transaction("createMarket", newer),
                contract.transaction("supply", newer, 10**10, 0, contract.sender, b""),
                contract.transaction("supplyCollateral", newer, 10**18, third.address, b""),
                contract.transaction(
                    "borrow", newer, 10**8, 0, third.address, third.address, sender=third.address
                ),
            ),
            (
                contract.transaction(
                    "supplyCollateral", markets[second.market].terms, 1_000, second.address, b""
                ),
            ),
        )

    def silent_actions(self):
        first = self.morpho.borrowers[0]
        terms = self.morpho.markets[first.market].terms
        contract = self.morpho.contract
        return (contract.transaction("supplyCollateral", terms, 10**18, first.address, b""),)

    def populate(self, count):
        planned = planned_morpho_borrowers(count, 77)
        chosen = tuple(replace(each, debt=each.debt // HEALTHY_SHARE) for each in planned)
        enter_markets(self.morpho, chosen, self.devnet.tokens)

    def failures(self):
        def of(name, *mood):
            one = self.morpho.markets[name]
            return Failure(
                lambda: one.oracle.send("set", *mood),
                lambda market, account: market.endswith(one.id),
            )

        def blocked():
            self.morpho.markets[HOSTILE].oracle.send("set", 8 * 10**23, ANSWERS)
            self.morpho.blocking.send("setBlocked", YES)

        hostile = self.morpho.markets[HOSTILE].id
        return {
            "an oracle that reverts": of(BROKEN, 1, REVERTS),
            "an oracle that burns all gas": of(BROKEN, 1, BURNS),
            "an oracle that says zero": of(BROKEN, 0, ANSWERS),
            "an oracle beyond counting": of(HOSTILE, UINT256_MAX, ANSWERS),
            "a token that cannot be moved": Failure(
                blocked, lambda market, account: market.endswith(hostile)
            ),
        }

    def vanish(self):
        self.devnet.node.rpc("anvil_setCode", [self.morpho.contract.address, "0x"])
