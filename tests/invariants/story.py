"""Random calls on a world, and what must hold after each of them."""

import random
from collections import Counter
from dataclasses import dataclass, field

from eth_abi.abi import decode
from eth_hash.auto import keccak

from tests.invariants import moves
from tests.invariants.evm import slot_of
from tests.invariants.moves import Move
from tests.invariants.world import (
    ACCOUNT,
    ADMIN,
    AT_LEAST,
    COUNTED,
    LOSS,
    OWNER,
    SHAPES,
    WRAPPED,
    World,
    made_world,
)

BPS = 10_000
DAY = 86_400
SEQUENCES = 100
"""How many sequences a world lives through: its making costs as much as ten of them."""
LIQUIDATED = keccak(b"Liquidated(uint256,address,address,uint256,uint256,uint256)").hex()
TAXED = ("fee", "fee on top")

Balances = dict[tuple[str, int], int]


@dataclass
class Told:
    """What happened in a world, and what should not have."""

    seed: int
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Story:
    """One world, its sequences, and the limits' own reckoning."""

    world: World
    told: Told
    spent: Counter[tuple[object, ...]] = field(default_factory=Counter)

    def sequence(self, number: int) -> None:
        """Live through one sequence of calls."""
        world, rng = self.world, self.world.rng
        must = world.machine.must
        malice = rng.choice((0, 0, 20, 80, 250))
        must(ADMIN, world.dice, "load(uint256,uint256)", rng.randrange(2**64), malice)
        before = world.balances()
        for _ in range(rng.randrange(2, 6)):
            move = moves.drawn(world)
            settings = world.settings()
            worked, answer = world.machine.call(move.sender, move.to, move.data)
            after = world.balances()
            self.told.counts[f"{move.name}: {'done' if worked else 'refused'}"] += 1
            for wrong in self.wrong(move, (worked, answer), before, after, settings):
                self.told.violations.append(f"sequence {number}, {move.name}: {wrong}")
            before = after
        self.told.counts["sequences"] += 1

    def wrong(
        self,
        move: Move,
        outcome: tuple[bool, bytes],
        before: Balances,
        after: Balances,
        settings: tuple[int, ...],
    ) -> list[str]:
        """Return what a move did that it should not have."""
        worked, answer = outcome
        if not worked:
            return [f"a revert moved {key}" for key in before if before[key] != after[key]]
        wrong = list(self.world.allowances())
        if move.sender != OWNER:
            wrong += self._redirected(move, before, after, settings)
        if move.name == "liquidate":
            wrong += self._short(move, answer, before, after)
        if move.name in ("cure", "clear"):
            wrong += self._beyond(move, before, after)
        return wrong

    def _redirected(self, move: Move, before: Balances, after: Balances, settings):
        """Return what somebody moved who may not."""
        may = ("vault", move.token) if move.name in ("cure", "clear") else None
        wrong = [
            f"{key} fell by {before[key] - after[key]}"
            for key in before
            if after[key] < before[key] and key != may
        ]
        if self.world.settings() != settings:
            wrong.append("the settings changed")
        return wrong

    def _short(self, move: Move, answer: bytes, before: Balances, after: Balances):
        """Return where the receiver, or the owner's caps, came short."""
        (results,) = decode(["(bool,uint256,uint256,bytes)[]"], answer)
        wrong, least, said = [], Counter(), Counter()
        for (ok, profit, _, _), step in zip(results, move.steps, strict=True):
            self.told.counts[f"step: {'ok' if ok else 'failed'}"] += 1
            if ok:
                self.told.counts[f"funding {step.funding}, module {step.module}: ok"] += 1
                least[step.spend] += step.min_profit
                said[step.spend] += profit
        for token, minimum in least.items():
            got = after["receiver", token] - before["receiver", token]
            if got < max(minimum, said[token]):
                wrong.append(f"receiver got {got} of {minimum}, told {said[token]}")
        share = after["coinbase", -1] - before["coinbase", -1]
        if share * BPS > self.world.max_share * (said[WRAPPED] + share):
            wrong.append(f"builder got {share} beside {said[WRAPPED]}")
        if not any(result[0] for result in results):
            wrong.append("no step worked, and yet")
        if len(move.steps) == 1:
            wrong += self._below_floor(move, before, after, share)
        return wrong

    def _below_floor(self, move: Move, before: Balances, after: Balances, share: int):
        world, step = self.world, move.steps[0]
        taxed = {world.kinds[step.spend], world.kinds[step.receive]} & set(TAXED)
        if step.module != 1 or taxed or not world.min_sale:
            return []
        log = next(
            log for log in world.machine.logs if log.topics[0].removeprefix("0x") == LIQUIDATED
        )
        spent, received, profit = decode(["uint256"] * 3, bytes(log.data[1]))
        worth = received
        if step.spend != step.receive:
            rest = after["receiver", step.receive] - before["receiver", step.receive]
            (decimals, price), (unit, base) = SHAPES[step.spend], SHAPES[step.receive]
            sold = max(received - rest, 0)
            worth = sold * base * 10**decimals // (10**unit * price)
        self.told.counts["sales held against the floor"] += 1
        brought = spent + profit + share
        floor = (worth - 1) * world.min_sale // BPS
        return [f"sold for {brought}, floor {floor}"] if brought + 1 < floor else []

    def _beyond(self, move: Move, before: Balances, after: Balances):
        """Return which of the vault's limits did not hold."""
        world, token = self.world, move.token
        day = world.machine.now // DAY
        gone = max(before["vault", token] - after["vault", token], 0)
        most, per_day, for_account = world.limits[token]
        self.spent[day, token] += gone
        wrong = []
        if gone > most or self.spent[day, token] > per_day:
            wrong.append(f"spent {gone} of {most}, {self.spent[day, token]} of {per_day} a day")
        if move.name == "cure":
            self.spent[day, token, ACCOUNT] += gone
            if self.spent[day, token, ACCOUNT] > for_account:
                wrong.append("more than the account's limit")
            health = world.machine.word(move.place, slot_of(moves.HEALTH_SLOT, ACCOUNT))
            if health < AT_LEAST:
                wrong.append(f"cured to {health}")
        else:
            wrong += self._lost(move, gone, before, after, day)
        return wrong

    def _lost(self, move: Move, gone: int, before: Balances, after: Balances, day: int):
        (decimals, price), (unit, base) = SHAPES[move.token], SHAPES[move.collateral]
        got = max(after["vault", move.collateral] - before["vault", move.collateral], 0)
        cost = gone * price // 10**decimals
        loss = max(cost - got * base // 10**unit * COUNTED // BPS - 2, 0)
        self.spent[day, "loss"] += loss
        if loss > min(LOSS[0], move.max_loss) or self.spent[day, "loss"] > LOSS[1]:
            return [f"lost {loss} of {move.max_loss}, {self.spent[day, 'loss']} in the day"]
        return []


def lived(seed: int, sequences: int = SEQUENCES) -> Told:
    """Return what happened in the world of a seed."""
    told = Told(seed)
    story = Story(made_world(random.Random(seed)), told)  # noqa: S311
    for number in range(sequences):
        story.sequence(number)
    return told
