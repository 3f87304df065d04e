"""Races against rivals that are ahead in the block, and honest accounts beside and after them."""

import random
from collections import Counter
from dataclasses import dataclass, field

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.assets import BY_SYMBOL, PRICE_UNIT
from keeper.devnet.node import Transaction
from tests.money.arena import ALL, GWEI, RIVAL, UNDERLYING, VARIABLE, Arena, arena
from tests.money.ledger import ETHER, Block, Sent, minimum_wei, read_block

RACES = 200
KINDS = ("whole", "part", "cure", "whole", "lost on purpose")
"""What the rival does, race after race: it loses every fifth one on purpose."""
DOLLARS = (3_000, 300_000)
PAYING = 400
"""Dollars per gwei that an account has at least: smaller ones do not pay for their gas."""
FIRST, SECOND = 95, 88
"""The collateral's price, in per cent, at which the race is on, and at which the next falls."""
NEAR, FAR = 995, 920
"""Debts in 1/1,000 of what may be borrowed: of those that fall first, and of the next."""
MINIMUM_USD = 5
LOW_FEE = GWEI
HELD, OWED = "WETH", "USDC"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the races came to; money in dollars with 8 decimals."""

    gwei: int
    races: Counter = field(default_factory=Counter)
    lost: int = 0
    lost_gas: int = 0
    most_lost_gas: int = 0
    lost_usd_e8: int = 0
    won: int = 0
    won_usd_e8: int = 0
    honest: int = 0
    honest_at_once: int = 0
    other_reverts: int = 0
    breakers: Counter = field(default_factory=Counter)
    open_at_the_end: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class Races:
    """Race after race before one keeper with the default settings."""

    def __init__(self, there: Arena, gwei: int, seed: int) -> None:
        self.there, self.gwei, self.seed = there, gwei, seed
        self.first = there.devnet.prices()
        self.prices = self.first
        self.tally = Tally(gwei=gwei)

    def run(self, count: int) -> Tally:
        """Run so many races; which breakers are open at their end is part of what is returned."""
        for number in range(count):
            self._race(number)
            self._note_breakers()
        return self.tally

    def _race(self, number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        self.tally.races[kind] += 1
        chance = random.Random(  # noqa: S311 - to be repeated
            f"race {self.seed} {number}"
        )
        contested, beside, after = (
            str(to_checksum_address(keccak(text=f"{name} {self.seed} {number}")[-20:]))
            for name in ("contested", "beside", "after")
        )
        terms = {contested: self._terms(chance, NEAR), after: self._terms(chance, FAR)}
        if number % 2:
            terms[beside] = self._terms(chance, NEAR)
        self._cheap()
        self.there.enter(terms)
        self._fall(FIRST)
        self._rival(kind, contested, terms[contested][3], chance)
        block = self._mine()
        self._count_race(kind, contested, block)
        if beside in terms:
            self._count_honest(beside, block, number)
        self._fall(SECOND)
        self._count_honest(after, self._mine(), number)
        if self.there.ours():
            self._mine()
        self._cheap()
        self.there.leave(terms)
        self.there.prices({HELD: self.first[HELD]})

    def _terms(self, chance: random.Random, share: int) -> tuple[str, int, str, int]:
        low, high = max(min(DOLLARS), PAYING * self.gwei), max(DOLLARS)
        value = round(low * (high / low) ** chance.random()) * PRICE_UNIT
        debt = value * BY_SYMBOL[HELD].ltv // 10_000 * share // 1_000
        return HELD, BY_SYMBOL[HELD].units_worth(value), OWED, BY_SYMBOL[OWED].units_worth(debt)

    def _fall(self, share: int) -> None:
        there = self.there
        accounts = there.devnet.accounts
        before = there.balances(accounts.receiver), there.balances(accounts.hot)
        there.rpc("anvil_setNextBlockBaseFeePerGas", hex(self.gwei * GWEI))
        there.prices({HELD: self.first[HELD] * share // 100})
        self.prices = there.devnet.prices()
        self._count(read_block(there, there.newest(), self.prices, before))

    def _mine(self) -> Block:
        there = self.there
        accounts = there.devnet.accounts
        before = there.balances(accounts.receiver), there.balances(accounts.hot)
        block = read_block(there, there.mine(), self.prices, before)
        self._count(block)
        return block

    def _cheap(self) -> None:
        self.there.rpc("anvil_setNextBlockBaseFeePerGas", hex(LOW_FEE))

    def _rival(self, kind: str, account: str, debt: int, chance: random.Random) -> None:
        """Put the rival's transaction before the keeper's; behind it where it loses on purpose."""
        waiting = self.there.ours()
        if not waiting:
            self.tally.violations.append(f"{account}: nothing was sent")
            return
        caps = [int(one["maxFeePerGas"], 16) for one in waiting]
        behind = kind == "lost on purpose"
        self.there.ahead(
            self._act(kind, account, debt, chance), min(caps) - 1 if behind else max(caps) + GWEI
        )

    def _act(self, kind: str, account: str, debt: int, chance: random.Random) -> Transaction:
        pool, tokens = self.there.devnet.aave.pool, self.there.devnet.tokens
        held, owed = tokens[HELD].address, tokens[OWED].address
        if kind == "cure":
            part = debt * 30 // 100
            return pool.transaction("repay", owed, part, VARIABLE, account, sender=RIVAL)
        part = debt * chance.choice((10, 25, 40)) // 100 if kind == "part" else ALL
        return pool.transaction(
            "liquidationCall", held, owed, account, part, UNDERLYING, sender=RIVAL
        )

    def _count(self, block: Block) -> None:
        """Count what the keeper's transactions of a block brought, and check each."""
        self.tally.violations += block.wrong
        for sent in block.sent:
            self.tally.won += len(sent.steps)
            self.tally.won_usd_e8 += self._usd(sent.net)
            least = len(sent.steps) * (minimum_wei(MINIMUM_USD, self.prices) - 10**9)
            if sent.steps and sent.net < least:
                self.tally.violations.append(f"{sent.hash} nets {sent.net} wei of {least}")

    def _count_race(self, kind: str, contested: str, block: Block) -> None:
        lost = [sent for sent in block.sent if sent.failed]
        if not lost:
            return
        if kind == "lost on purpose":
            self.tally.violations.append(f"{contested}: reverted although nobody was ahead")
        self.tally.lost += 1
        gas = sum(_lost_gas(sent) for sent in lost)
        self.tally.lost_gas += gas
        self.tally.most_lost_gas = max(self.tally.most_lost_gas, gas)
        self.tally.lost_usd_e8 += self._usd(sum(sent.lost for sent in lost))

    def _count_honest(self, account: str, block: Block, number: int) -> None:
        self.tally.honest += 1
        if any(step.account == account for sent in block.sent for step in sent.steps):
            self.tally.honest_at_once += 1
        else:
            told = self.there.told("decision", account=account)[-1:]
            why = told[0].get("detail") or told[0]["reason"] if told else "nothing was said"
            self.tally.violations.append(
                f"race {number}: {account} was not liquidated in its next block: {why}"
            )

    def _note_breakers(self) -> None:
        """Note which breakers opened; what was told so far is forgotten."""
        for event in self.there.told("breaker"):
            name, is_open = event["name"], event["state"] == "open"
            self.tally.breakers[name] += is_open
            still = [one for one in self.tally.open_at_the_end if one != name]
            self.tally.open_at_the_end = [*still, name] if is_open else still
        self.there.events.clear()

    def _usd(self, wei: int) -> int:
        return wei * self.prices["WETH"] // ETHER


def run_races(count: int, gwei: int, seed: int) -> Tally:
    """Run races on a chain of their own, before a keeper with the default settings."""
    with arena("", minimum=MINIMUM_USD) as there:
        tally = Races(there, gwei, seed).run(count)
    if tally.open_at_the_end:
        tally.violations.append(f"open at the end: {', '.join(tally.open_at_the_end)}")
    return tally


def races_table(tallies: list[Tally]) -> str:
    """Return a row for each gas price, in Markdown."""
    heads = ("gwei", "races", "lost", "gas each (most)", "lost, USD", "won, USD", "share", "honest")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for tally in tallies:
        each = tally.lost_gas // max(tally.lost, 1)
        share = 100 * tally.lost_usd_e8 / max(tally.won_usd_e8, 1)
        per_race = share / max(tally.lost, 1)
        cells = (
            *(str(tally.gwei), str(tally.races.total()), str(tally.lost)),
            f"{each:,} ({tally.most_lost_gas:,})",
            f"{tally.lost_usd_e8 / 10**8:,.2f}",
            f"{tally.won_usd_e8 / 10**8:,.0f}",
            f"{share:.3f} % ({per_race:.5f} % a race)",
            f"{tally.honest_at_once} of {tally.honest}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    opened = Counter()
    for tally in tallies:
        opened += tally.breakers
    told = ", ".join(f"{name} {count} times" for name, count in sorted(opened.items()))
    return "\n".join([*lines, "", f"breakers that opened: {told or 'none'}"])


def _lost_gas(sent: Sent) -> int:
    return sent.gas * sent.lost // max(sent.cost, 1)
