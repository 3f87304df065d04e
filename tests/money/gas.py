"""Gas from 5 to 600 gwei: what pays by its simulation is sent and lands, or a limit is named."""

from collections import Counter
from dataclasses import dataclass, field

from keeper.devnet.assets import PRICE_UNIT
from tests.money.arena import GWEI, Arena, arena
from tests.money.ledger import ETHER, minimum_wei, read_block

GWEIS = (5, 50, 150, 200, 290, 600)
FALL = {"WETH": 2_600 * PRICE_UNIT, "WBTC": 50_000 * PRICE_UNIT}
BORROWERS = 32
BLOCKS = 6
MINIMUM_USD = 5
ECONOMIC = frozenset({"dust", "below_min_profit", "gas_too_expensive", "exit_too_shallow"})
"""Reasons that are not a limit: such an account nets less than the minimum."""


@dataclass(slots=True, kw_only=True)
class Priced:
    """What a fall came to at a gas price; money in dollars with 8 decimals."""

    gwei: int
    sent: int = 0
    landed: list[int] = field(default_factory=list)
    net_usd_e8: int = 0
    reverted: int = 0
    left: Counter = field(default_factory=Counter)
    limits: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def run_gas(gwei: int, borrowers: int = BORROWERS) -> Priced:
    """Let a market fall in a block of that base fee, before a keeper with default settings."""
    found = Priced(gwei=gwei)
    with arena("", minimum=MINIMUM_USD, borrowers=borrowers) as there:
        there.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
        there.prices(FALL)
        prices = there.devnet.prices()
        landed = set[str]()
        for number in range(2 * BLOCKS):
            if number < BLOCKS or there.ours():  # what was sent last lands, too
                landed |= _mine(there, prices, found)
        _judge(there, landed, found)
    return found


def _mine(there: Arena, prices: dict, found: Priced) -> set[str]:
    accounts = there.devnet.accounts
    before = there.balances(accounts.receiver), there.balances(accounts.hot)
    block = read_block(there, there.mine(), prices, before)
    found.violations += block.wrong
    steps = [step for sent in block.sent for step in sent.steps]
    found.landed.append(len(steps))
    for sent in block.sent:
        found.reverted += sent.failed
        found.net_usd_e8 += sent.net * prices["WETH"] // ETHER
        least = len(sent.steps) * (minimum_wei(MINIMUM_USD, prices) - 10**9)
        if sent.steps and sent.net < least:
            found.violations.append(f"{found.gwei} gwei: {sent.hash} nets {sent.net} of {least}")
    return {step.account for step in steps}


def _judge(there: Arena, landed: set[str], found: Priced) -> None:
    """Say what was sent and did not land, and what was left for a reason that is no price."""
    decisions = there.told("decision")
    sent = {one["account"] for one in decisions if one["action"] == "liquidate"}
    found.sent = len(sent)
    found.violations += [f"{found.gwei} gwei: {who} did not land" for who in sorted(sent - landed)]
    last = {one["account"]: one for one in decisions}
    skips = [one for one in last.values() if one["action"] == "skip"]
    found.left = Counter(str(one["reason"]) for one in skips)
    found.limits = [
        f"{one['name']}: {one['detail']}" for one in there.told("breaker") if one["state"] == "open"
    ]
    for one in skips:
        if one["reason"] not in ECONOMIC:
            why = one.get("detail") or "no detail"
            found.violations.append(f"{found.gwei} gwei: {one['reason']}: {why}")


def gas_table(rows: list[Priced]) -> str:
    """Return a row for each gas price, in Markdown."""
    heads = ("base fee, gwei", "sent", "landed, by block", "reverted", "net, USD", "left", "limits")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        left = ", ".join(f"{count} {why}" for why, count in sorted(row.left.items()))
        blocks = ", ".join(str(count) for count in row.landed if count)
        cells = (
            *(str(row.gwei), str(row.sent), blocks or "-", str(row.reverted)),
            *(f"{row.net_usd_e8 / 10**8:,.0f}", left or "-", "; ".join(row.limits) or "none"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
