"""Aave v3 as a world of the conformance suite."""

from dataclasses import dataclass

from keeper.chain.abi import checksum, word
from keeper.devnet.borrowers import enter_market, planned_borrowers
from keeper.devnet.market import Devnet
from keeper.domain.units import WAD
from tests.chain.conformance.world import Failure, Landed, Said
from tests.chain.worlds import LIQUIDATION_CALL

NEWCOMER = checksum("0x" + "31" * 20)
HEALTHY = {"healthy", "safe"}
VARIABLE = 2
NO = False


@dataclass(frozen=True)
class AaveWorld:
    """One pool; its accounts may have several collaterals and debts."""

    name: str
    devnet: Devnet
    falls = (
        {"WETH": 2_800, "LINK": 13, "WBTC": 54_000},
        {"WETH": 2_600, "LINK": 11, "WBTC": 52_000},
        {"WETH": 1_700, "LINK": 7, "WBTC": 33_000},
    )

    def options(self):
        return {
            "protocol": "aave_v3",
            "addresses_provider": self.devnet.aave.provider.address,
            "from_block": self.devnet.from_block,
        }

    def people(self):
        return {("", each.address) for each in self.devnet.borrowers}

    def said(self, taken, account):
        aave = self.devnet.aave
        factor = aave.pool.call("getUserAccountData", account)[5]
        collateral, debt = {}, {}
        for token in self.devnet.tokens.values():
            held = aave.data_provider.call("getUserReserveData", token.address, account)
            collateral[token.address] = held[0] if held[8] else 0
            debt[token.address] = held[1] + held[2]
        return Said(factor < WAD, factor, present(collateral), present(debt))

    def liquidate(self, offer, amount):
        arguments = (offer.receive_token, offer.spend_token, offer.account, amount, False)
        sent = self.devnet.aave.pool.transaction("liquidationCall", *arguments)
        (receipt,) = self.devnet.node.send_all([sent])
        log = next(each for each in receipt["logs"] if each["topics"][0] == LIQUIDATION_CALL)
        data = bytes.fromhex(log["data"][2:])
        return Landed(word(data, 0), word(data, 1))

    def actions(self):
        pool = self.devnet.aave.pool
        address = {symbol: token.address for symbol, token in self.devnet.tokens.items()}
        kinds = {each.kind: each.address for each in self.devnet.borrowers}
        short = kinds["short"]
        self.devnet.node.set_balance(NEWCOMER, 10**18)
        return (
            (pool.transaction("repay", address["DAI"], 10**20, VARIABLE, kinds["two_by_two"]),),
            (pool.transaction("supply", address["WETH"], 10**18, short, 0),),
            (pool.transaction("setUserEMode", 0, sender=kinds["plain"]),),
            (
                pool.transaction("supply", address["WETH"], 10**18, NEWCOMER, 0),
                pool.transaction(
                    "borrow", address["USDC"], 10**8, VARIABLE, 0, NEWCOMER, sender=NEWCOMER
                ),
            ),
            (pool.transaction("setUserUseReserveAsCollateral", address["DAI"], NO, sender=short),),
        )

    def silent_actions(self):
        kinds = {each.kind: each.address for each in self.devnet.borrowers}
        return (self.devnet.aave.pool.transaction("setUserEMode", 0, sender=kinds["plain"]),)

    def populate(self, count):
        planned = planned_borrowers(17 * count, 77)
        chosen = [each for each in planned if each.kind in HEALTHY][:count]
        assert len(chosen) == count
        enter_market(self.devnet.node, self.devnet.aave, self.devnet.tokens, chosen)

    def failures(self):
        source = self.devnet.feeds["LINK"].source.address
        concerned = {
            each.address
            for each in self.devnet.borrowers
            if "LINK" in each.collateral or "LINK" in each.debt
        }
        return {
            "a price source without code": Failure(
                lambda: self.devnet.node.rpc("anvil_setCode", [source, "0x"]),
                lambda market, account: account in concerned,
            )
        }

    def vanish(self):
        self.devnet.node.rpc("anvil_setCode", [self.devnet.aave.pool.address, "0x"])


def present(amounts):
    """Leave out what is zero."""
    return {token: amount for token, amount in amounts.items() if amount}
