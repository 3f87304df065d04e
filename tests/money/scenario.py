"""A scenario as it happens: accounts fall, and something comes before the keeper in the block."""

import random
from collections import Counter
from dataclasses import dataclass, field

from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.node import Transaction
from keeper.domain.errors import RpcRefused
from tests.money.arena import ALL, ATTACKER, GWEI, RIVAL, UNDERLYING, VARIABLE, Arena
from tests.money.draw import MOVE_BPS, Scenario, World
from tests.money.ledger import ETHER, Block, Sent, minimum_wei, read_block

BLOCKS = 3
"""So many blocks after its fall an account is played on."""
UNITS = 2
"""Smallest units of a token that rounding may cost a step."""
LOW_FEE = GWEI


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a scenario came to."""

    hazard: str
    bids: bool = False
    landed: int = 0
    reverted: int = 0
    sent: int = 0
    net_usd_e8: int = 0
    burnt_usd_e8: int = 0
    worst_usd_e8: int | None = None
    taken_usd_e8: int = 0
    attacked: int = 0
    attacked_landed: int = 0
    rivals_first: int = 0
    short: int = 0
    seed: str = ""
    left: Counter = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Play:
    """One scenario before one keeper."""

    def __init__(self, there: Arena, world: World, scenario: Scenario, first: dict) -> None:
        self.there, self.world, self.scenario = there, world, scenario
        self.first = first
        self.outcome = Outcome(
            hazard=scenario.hazard, bids=world.profit_bid_bps > 0, seed=scenario.seed
        )
        self.prices = first
        self.chance = random.Random(f"play {scenario.seed}")  # noqa: S311
        self.terms = {debtor.address: debtor.terms() for debtor in scenario.debtors}
        self.start = 0
        self.ahead: list[str] = []

    def run(self) -> Outcome:
        """Play it, and bring the market back to where it was."""
        there = self.there
        there.rpc("anvil_setNextBlockBaseFeePerGas", hex(LOW_FEE))
        there.enter(self.terms)
        self.start = len(there.events)
        self._fall()
        for turn in range(BLOCKS):
            if not there.ours() and all(not self._due(who) for who in self.terms):
                break
            self._turn(turn)
        for who in self.terms:
            if self._due(who):
                self._left(who)
        self._settle()
        return self.outcome

    def _fall(self) -> None:
        held = self.scenario.debtors[0].held
        moved = "WETH" if held == "wstETH" else held
        self.there.rpc("anvil_setNextBlockBaseFeePerGas", hex(self.scenario.gwei * GWEI))
        self.there.prices({moved: self.first[moved] * self.scenario.fall // 100})
        self.prices = self.there.devnet.prices()

    def _turn(self, turn: int) -> None:
        there = self.there
        accounts = there.devnet.accounts
        held = there.balances(ATTACKER)
        decided = self._decided()
        self.ahead = []
        surrounded = self._others_act(turn, decided)
        before = there.balances(accounts.receiver), there.balances(accounts.hot)
        block = there.mine(self._base_fee(turn))
        found = read_block(there, block, self.prices, before)
        for sent in found.sent:
            self._judge(sent, decided)
        self._note(found)
        self._check_order(block, found)
        if surrounded:
            self.outcome.attacked += 1
            if any(sent.steps for sent in found.sent):
                self.outcome.attacked_landed += 1
                self.outcome.taken_usd_e8 += max(0, self._gain(held, there.balances(ATTACKER)))

    def _base_fee(self, turn: int) -> int:
        """Return the next block's base fee, risen by an eighth or not; 0 leaves the chain's own."""
        if not self.scenario.rises[turn]:
            return 0
        return self._newest_base_fee() * 9 // 8

    def _newest_base_fee(self) -> int:
        return int(self.there.newest()["baseFeePerGas"], 16)

    def _decided(self) -> dict[str, list[dict]]:
        """Return each account's newest decision to liquidate it, and its further rounds."""
        return {
            event["account"]: [event, *event.get("further_rounds", [])]
            for event in self.there.events[self.start :]
            if event["event"] == "decision" and event["action"] == "liquidate"
        }

    def _others_act(self, turn: int, decided: dict) -> bool:
        """Put before the keeper what the scenario has; whether an attacker surrounds it."""
        waiting = self.there.ours()
        if not waiting:
            return False
        caps = [int(one["maxFeePerGas"], 16) for one in waiting]
        above = max(*caps, 2 * self._newest_base_fee()) + GWEI
        hazard, held = self.scenario.hazard, self.scenario.debtors[0].held
        if hazard.startswith("rival") and turn == 0:
            self._ahead(self._rival(hazard), above)
        if hazard == "move" and turn == 0:
            shifts = {
                address: -MOVE_BPS if spec.first == held else MOVE_BPS
                for address, spec in self.there.pools.items()
                if held in (spec.first, spec.second)
            }
            self._trade(shifts, above)
        elif self.scenario.noise:
            most = self.scenario.noise
            self._trade({one: self.chance.randint(-most, most) for one in self.there.pools}, above)
        return hazard == "sandwich" and self._surround(decided, caps)

    def _ahead(self, transaction: Transaction, cap: int) -> None:
        self.ahead.append(self.there.ahead(transaction, cap))

    def _check_order(self, block: dict, found: Block) -> None:
        """Count the rivals that came first; what was put before the keeper must stand there."""
        places = {one["hash"]: int(one["transactionIndex"], 16) for one in block["transactions"]}
        first = min((places[sent.hash] for sent in found.sent), default=len(places))
        if any(places.get(name, first) >= first for name in self.ahead):
            self._violated("what was to come before the keeper did not")
        elif self.ahead and self.scenario.hazard.startswith("rival"):
            receipt = self.there.rpc("eth_getTransactionReceipt", self.ahead[0])
            acted = receipt["to"] == self.there.devnet.aave.pool.address.lower()
            self.outcome.rivals_first += int(receipt["status"], 16) if acted else 0

    def _trade(self, shifts: dict[str, int], above: int) -> None:
        if self.scenario.hazard == "still":
            return
        for swap in self.there.moves(shifts, self.prices):
            self._ahead(swap, above)

    def _rival(self, hazard: str) -> Transaction:
        """Return what a rival does to the first account: liquidates it, in part, or cures it."""
        pool, tokens = self.there.devnet.aave.pool, self.there.devnet.tokens
        debtor = self.scenario.debtors[0]
        owed, held = tokens[debtor.owed].address, tokens[debtor.held].address
        if hazard == "rival cure":
            part = debtor.debt * 30 // 100
            terms = (owed, part, VARIABLE, debtor.address)
            return pool.transaction("repay", *terms, sender=RIVAL)
        part = ALL if hazard == "rival whole" else debtor.debt * self.scenario.part // 100
        return pool.transaction(
            "liquidationCall", held, owed, debtor.address, part, UNDERLYING, sender=RIVAL
        )

    def _surround(self, decided: dict, caps: list[int]) -> bool:
        """Sell into the keeper's first pool before it, and buy back after it."""
        (who,) = self.terms
        if who not in decided:
            return False
        decision = decided[who][0]
        spec = self.there.pools.get(decision["route"][0].lower())
        if spec is None:
            return False
        held = self.scenario.debtors[0].held
        other = spec.second if spec.first == held else spec.first
        amount = int(decision["receive"][0]["amount"]) * self.scenario.front // 100
        amount = min(amount, self.there.balances(ATTACKER)[held] // 2)
        front = self._swap(held, other, spec.fee, amount)
        try:
            brought = int.from_bytes(self.there.devnet.node.call(front)[:32], "big")
        except RpcRefused:
            return False
        newest = self._newest_base_fee()
        self._ahead(front, max(*caps, 2 * newest) + GWEI)
        back = self._swap(other, held, spec.fee, brought)
        self.there.ahead(back, max(min(caps) - 1, newest * 9 // 8))
        return True

    def _swap(self, sold: str, bought: str, fee: int, amount: int) -> Transaction:
        tokens = self.there.devnet.tokens
        terms = (tokens[sold].address, tokens[bought].address, fee, ATTACKER, 2**40, amount, 0, 0)
        return self.there.devnet.venue.router.transaction(
            "exactInputSingle", terms, sender=ATTACKER
        )

    def _gain(self, before: dict[str, int], after: dict[str, int]) -> int:
        """Return what an account's tokens gained, in dollars with 8 decimals."""
        return sum(
            (after[symbol] - before[symbol]) * self.prices[symbol] // BY_SYMBOL[symbol].unit
            for symbol in self.there.devnet.tokens
        )

    def _judge(self, sent: Sent, decided: dict) -> None:
        """Say where a landed transaction nets less than its minimum, or its tolerance."""
        if not sent.steps:
            return
        minimum = minimum_wei(self.world.min_profit_usd, self.prices)
        rounding = sum(
            UNITS
            * self.prices[step.symbol]
            * ETHER
            // BY_SYMBOL[step.symbol].unit
            // self.prices["WETH"]
            + 1
            for step in sent.steps
        )
        least = len(sent.steps) * minimum - rounding
        short = self._short(sent, minimum, decided)
        self.outcome.short += least > sent.net >= least - short
        each = self._usd(sent.net) // len(sent.steps)
        if self.outcome.worst_usd_e8 is None or each < self.outcome.worst_usd_e8:
            self.outcome.worst_usd_e8 = each
        if sent.net < least - short:
            self._violated(f"{sent.hash} nets {sent.net} wei, the minimum is {least}")
        for who in {step.account for step in sent.steps}:
            self._judge_tolerance(who, sent, decided)

    def _short(self, sent: Sent, minimum: int, decided: dict) -> int:
        """Return what may be missing where plans net hardly more than the minimum.

        They are sent, since their simulation pays. A tenth more gas than simulated, or twice as
        much where a step before theirs failed, is theirs to bear.
        """
        cost = (sent.cost - sent.lost) // len(sent.steps)
        room = cost if sent.failed else cost // 10
        nets = [
            min(int(one["net_profit_wei"]) for one in decided[step.account])
            for step in sent.steps
            if decided.get(step.account)
        ]
        return sum(room for net in nets if net < minimum + room)

    def _judge_tolerance(self, who: str, sent: Sent, decided: dict) -> None:
        landed = [step for step in sent.steps if step.account == who]
        planned = decided.get(who, [])
        if len(landed) > len(planned):
            self._violated(f"{who}: {len(landed)} steps landed, {len(planned)} were decided")
        if len(landed) != len(planned):
            return  # which of its rounds landed, the receipt does not say
        expected = sum(int(one["gross_profit"]["amount"]) for one in planned)
        got = sum(step.profit for step in landed)
        if got < expected * (10_000 - self.world.tolerance_bps) // 10_000 - len(landed):
            self._violated(f"{who}: {got} of {expected} units of profit came")

    def _note(self, found: Block) -> None:
        outcome = self.outcome
        outcome.violations += [f"{self.scenario.seed}: {wrong}" for wrong in found.wrong]
        for sent in found.sent:
            outcome.sent += 1
            outcome.landed += len(sent.steps)
            outcome.reverted += sent.failed
            outcome.net_usd_e8 += self._usd(sum(step.worth for step in sent.steps) - sent.cost)
            outcome.burnt_usd_e8 += self._usd(sent.lost)
        if outcome.hazard == "still" and outcome.reverted:
            self._violated(f"{outcome.reverted} reverts in a still market")

    def _usd(self, wei: int) -> int:
        return wei * self.prices["WETH"] // ETHER

    def _violated(self, what: str) -> None:
        self.outcome.violations.append(f"{self.scenario.seed} ({self.scenario.hazard}): {what}")

    def _due(self, who: str) -> bool:
        return bool(self.there.owes(who)) and not self.there.healthy(who)

    def _left(self, who: str) -> None:
        told = [
            event["reason"] if event["action"] == "skip" else "lost"
            for event in self.there.events[self.start :]
            if event["event"] == "decision" and event["account"] == who
        ]
        self.outcome.left[told[-1] if told else "nothing was said"] += 1

    def _settle(self) -> None:
        """Repay what is left, and put prices and pools back."""
        there = self.there
        there.rpc("anvil_setNextBlockBaseFeePerGas", hex(LOW_FEE))
        for _ in range(BLOCKS):
            if not there.ours():
                break
            there.mine()
        there.leave(self.terms)
        there.prices({symbol: self.first[symbol] for symbol in self.first if symbol != "wstETH"})
        for event in there.events[self.start :]:
            if event["event"] == "breaker" and event.get("state") == "open":
                self._violated(f"the breaker {event.get('name')} opened")
        there.events.clear()
