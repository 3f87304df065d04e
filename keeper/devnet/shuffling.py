"""Random use of a market, with every action that changes an account's balances or values.

The same seed makes the market behave the same, reorgs included. Actions that the pool refuses are
not counted, since nothing changed.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.artifacts import Contract
from keeper.devnet.assets import BY_SYMBOL, E_MODE, PRICE_UNIT
from keeper.devnet.listing import list_reserve
from keeper.devnet.market import Devnet
from keeper.devnet.node import Node, Receipt, Transaction
from keeper.domain.errors import RpcUnavailable
from keeper.domain.units import BPS

VARIABLE: Final = 2
STABLE: Final = 1
NEWCOMERS: Final = 12
"""Accounts that had nothing at first: they get aTokens, and borrow."""
MOST_AT_ONCE: Final = 6
"""The most actions in one block."""
_ALL: Final = 2**256 - 1
_GAS: Final = 3_000_000
_GAS_MONEY: Final = 10**20
_PATIENCE: Final = 60.0
_USD: Final = (10, 60_000)
_MOVES: Final = (8_800, 11_200)
"""Between which shares of itself, in bps, a price moves at once."""
_FAR: Final = (6_500, 14_000)
"""Beyond which shares of the first price it is brought back to it."""
_BEFORE: Final = 70
_SECONDS: Final = 12
_MONTH: Final = 30 * 24 * 3_600


@dataclass(slots=True)
class Shuffler:
    """Users, administrators and random state of a market. ``done`` counts successes by kind.

    Between its blocks a transaction is mined at once, unless others send too (``alone`` False),
    since Anvil mixes two blocks in its answers while it mines.
    """

    devnet: Devnet
    chance: random.Random
    alone: bool = True
    done: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    people: list[str] = field(default_factory=list)
    listed: dict[str, Contract] = field(default_factory=dict)

    def __post_init__(self) -> None:
        new = (keccak(text=f"newcomer {number}")[-20:] for number in range(NEWCOMERS))
        borrowers = [each.address for each in self.devnet.borrowers[1:]]
        self.people = [*borrowers, *(str(to_checksum_address(each)) for each in new)]
        self.devnet.node.batch(
            [("anvil_setBalance", [each, hex(_GAS_MONEY)]) for each in self.people]
        )
        # No reorganisation shall take the market itself back.
        self.devnet.node.rpc("anvil_mine", [hex(_BEFORE), hex(_SECONDS)])

    @property
    def actions(self) -> int:
        """Number of actions that were mined and not refused."""
        return self.done.total()

    def block(self) -> None:
        """Mine a block with a few random actions."""
        chosen = [self._choose_action() for _ in range(self.chance.randint(1, MOST_AT_ONCE))]
        transactions = [transaction for _, transaction in chosen]
        receipts = mined(self.devnet.node, transactions, automine=self.alone)
        for (kind, _), receipt in zip(chosen, receipts, strict=True):
            if int(receipt["status"], 16):
                self.done[kind] += 1
            else:
                self.refused += 1

    def reorganised(self, most: int) -> int:
        """Replace a random number of blocks by empty ones, and return the number."""
        depth = self.chance.randint(1, most)
        reorganise(self.devnet.node, depth, automine=self.alone)
        there = {str(one).lower() for one in self.devnet.aave.pool.call("getReservesList")}
        self.listed = {s: one for s, one in self.listed.items() if one.address.lower() in there}
        return depth

    def new_reserve(self) -> None:
        """List one more reserve, or run another action of several transactions."""
        symbol = f"NEW{self.done['new reserve'] + 1}"
        self.listed[symbol] = list_reserve(self.devnet, symbol)
        self.done["new reserve"] += 1

    def _choose_action(self) -> tuple[str, Transaction]:
        kinds: dict[str, tuple[int, Callable[[], Transaction]]] = {
            "supply": (16, self._supply),
            "withdraw": (14, self._withdraw),
            "borrow": (18, self._borrow),
            "repay": (14, self._repay),
            "transfer": (9, self._transfer),
            "collateral": (8, self._toggle_collateral),
            "eMode": (6, self._set_e_mode),
            "price": (7, self._price),
            "liquidation": (9, self._liquidate),
            "parameter": (3, self._set_parameter),
            "time": (2, self._pass_time),
        }
        weights = [weight for weight, _ in kinds.values()]
        (kind,) = self.chance.choices(list(kinds), weights)
        return kind, kinds[kind][1]()

    def _choose_account(self) -> str:
        return self.chance.choice(self.people)

    def _choose_amount(self, symbol: str = "") -> tuple[Contract, int]:
        """Choose a token and a useful amount of it, in its units."""
        tokens = {**self.devnet.tokens, **self.listed}
        symbol = symbol or self.chance.choice(sorted(tokens))
        usd = self.chance.randint(*_USD) * PRICE_UNIT
        known = BY_SYMBOL.get(symbol) or BY_SYMBOL["LINK"]
        return tokens[symbol], self.chance.choice((known.units_worth(usd), 1, 3))

    def _build_pool_call(self, function: str, *arguments: object, sender: str = "") -> Transaction:
        made = self.devnet.aave.pool.transaction(function, *arguments, sender=sender)
        return _lower_gas(made)

    def _supply(self) -> Transaction:
        token, amount = self._choose_amount()
        return self._build_pool_call("supply", token.address, amount, self._choose_account(), 0)

    def _choose_used_token(self, who: str, *, owed: bool) -> tuple[Contract, int]:
        """Choose one of the tokens that an account owes, or has as collateral."""
        used = {one.lower() for one in self._read_uses(who)[0 if owed else 1]}
        tokens = {**self.devnet.tokens, **self.listed}
        mine = [symbol for symbol, one in sorted(tokens.items()) if one.address.lower() in used]
        return self._choose_amount(self.chance.choice(mine)) if mine else self._choose_amount()

    def _withdraw(self) -> Transaction:
        who = self._choose_account()
        token, amount = self._choose_used_token(who, owed=False)
        amount = self.chance.choice((amount, amount // 7 + 1, amount // 30 + 1, _ALL))
        return self._build_pool_call("withdraw", token.address, amount, who, sender=who)

    def _borrow(self) -> Transaction:
        (token, amount), who = self._choose_amount(), self._choose_account()
        stable = self.devnet.aave.version == "3.0" and self.chance.random() < 1 / 4
        mode = STABLE if stable else VARIABLE
        return self._build_pool_call(
            "borrow", token.address, amount // 6 + 1, mode, 0, who, sender=who
        )

    def _repay(self) -> Transaction:
        who = self._choose_account()
        token, amount = self._choose_used_token(who, owed=True)
        stable = self.devnet.aave.version == "3.0" and self.chance.random() < 1 / 5
        # A repayment for another account needs a number, as the pool refuses "all".
        amount = self.chance.choice((amount, amount * 50))
        return self._build_pool_call(
            "repay", token.address, amount, STABLE if stable else VARIABLE, who
        )

    def _transfer(self) -> Transaction:
        who = self._choose_account()
        token, amount = self._choose_used_token(who, owed=False)
        a_token = self.devnet.aave.data_provider.call("getReserveTokensAddresses", token.address)[0]
        moved = token.artifact.calldata("transfer", self._choose_account(), amount // 20 + 1)
        return Transaction(sender=who, to=str(a_token), data=moved, gas=_GAS)

    def _toggle_collateral(self) -> Transaction:
        who = self._choose_account()
        token = (
            self._choose_used_token(who, owed=False)[0]
            if self.chance.random() < 1 / 2
            else self._choose_amount()[0]
        )
        on = self.chance.random() < 1 / 2
        return self._build_pool_call("setUserUseReserveAsCollateral", token.address, on, sender=who)

    def _set_e_mode(self) -> Transaction:
        who = self._choose_account()
        return self._build_pool_call("setUserEMode", self.chance.choice((0, E_MODE)), sender=who)

    def _price(self) -> Transaction:
        symbol = self.chance.choice(("WETH", "WBTC", "LINK", "DAI"))
        feed, first = self.devnet.feeds[symbol], BY_SYMBOL[symbol].price
        now = int(feed.source.call("latestAnswer"))
        price = now * self.chance.randint(*_MOVES) // BPS
        if not first * _FAR[0] // BPS < price < first * _FAR[1] // BPS:
            price = first
        if feed.aggregator is None:
            return self._supply()
        following = feed.aggregator.call("latestRound") + 1
        return _lower_gas(feed.aggregator.transaction("submit", following, price))

    def _liquidate(self) -> Transaction:
        """Liquidate one of the liquidatable accounts, if there is one."""
        unhealthy = [who for who, health in self._read_health() if health < 10**18]
        who = self.chance.choice(unhealthy) if unhealthy else self._choose_account()
        debt, collateral = self._choose_amount()[0].address, self._choose_amount()[0].address
        owed, held = self._read_uses(who)
        if owed and held:
            debt, collateral = self.chance.choice(owed), self.chance.choice(held)
        keep = self.chance.random() < 1 / 3
        return self._build_pool_call("liquidationCall", collateral, debt, who, _ALL, keep)

    def _read_health(self) -> list[tuple[str, int]]:
        pool = self.devnet.aave.pool
        calls = [pool.transaction("getUserAccountData", who) for who in self.people]
        answers = self.devnet.node.batch([("eth_call", [c.as_json(), "latest"]) for c in calls])
        return [(who, int(one[-64:], 16)) for who, one in zip(self.people, answers, strict=True)]

    def _read_uses(self, who: str) -> tuple[list[str], list[str]]:
        """Read an account's debts and collateral from the pool's own bitmap."""
        pool = self.devnet.aave.pool
        answer = pool.call("getUserConfiguration", who)
        flags = answer[0] if isinstance(answer, tuple | list) else answer
        tokens = pool.call("getReservesList")
        owed = [one for at, one in enumerate(tokens) if flags >> (2 * at) & 1]
        return owed, [one for at, one in enumerate(tokens) if flags >> (2 * at + 1) & 1]

    def _set_parameter(self) -> Transaction:
        """Change a parameter by governance that an account's health depends on."""
        configurator, token = self.devnet.aave.configurator, self._choose_amount()[0].address
        threshold = self.chance.randint(6_600, 8_600)
        switch = self.chance.random() < 1 / 2
        makes: Sequence[Callable[[], Transaction]] = (
            lambda: configurator.transaction(
                "configureReserveAsCollateral", token, threshold - 500, threshold, 10_500
            ),
            lambda: configurator.transaction(
                "setReserveFactor", token, self.chance.randint(100, 4_000)
            ),
            lambda: configurator.transaction(
                "setLiquidationProtocolFee", token, self.chance.randint(0, 3_000)
            ),
            lambda: configurator.transaction("setReserveFreeze", token, False),  # noqa: FBT003
            lambda: self._set_category(switch, token),
        )
        return _lower_gas(self.chance.choice(makes)())

    def _set_category(self, switch: bool, token: str) -> Transaction:  # noqa: FBT001
        """Change the eMode's terms, or which assets it is for."""
        configurator, modern = self.devnet.aave.configurator, self.devnet.aave.version == "3.6"
        threshold = self.chance.randint(9_350, 9_700)
        if self.chance.random() < 1 / 2:
            terms: tuple[object, ...] = (E_MODE, 9_300, threshold, 10_100)
            terms = (*terms, "changed") if modern else (*terms, "0x" + "00" * 20, "changed")
            return configurator.transaction("setEModeCategory", *terms)
        if modern:
            return configurator.transaction("setAssetCollateralInEMode", token, E_MODE, switch)
        return configurator.transaction("setAssetEModeCategory", token, E_MODE if switch else 0)

    def _pass_time(self) -> Transaction:
        """Let days pass before the block, with interest accrued."""
        node = self.devnet.node
        newest = node.rpc("eth_getBlockByNumber", ["latest", False])
        moment = int(newest["timestamp"], 16) + self.chance.randint(1_000, _MONTH // 10)
        node.rpc("evm_setNextBlockTimestamp", [hex(moment)])
        return self._supply()


def mined(
    node: Node, transactions: Sequence[Transaction], *, automine: bool = True
) -> list[Receipt]:
    """Mine the transactions in one block, whatever each result, and others at once afterwards."""
    node.rpc("evm_setAutomine", [False])
    senders = list({each.sender: None for each in transactions})
    counts = node.batch([("eth_getTransactionCount", [who, "latest"]) for who in senders])
    nonces = {who: int(count, 16) for who, count in zip(senders, counts, strict=True)}
    calls = []
    for each in transactions:
        calls.append(
            ("eth_sendTransaction", [{**each.as_json(), "nonce": hex(nonces[each.sender])}])
        )
        nonces[each.sender] += 1
    hashes = node.batch(calls)
    node.rpc("evm_mine")
    receipts = _fetch_receipts(node, hashes)
    node.rpc("evm_setAutomine", [automine])
    return receipts


def reorganise(node: Node, depth: int, *, automine: bool = True) -> None:
    """Revert ``depth`` blocks and mine as many empty ones.

    The node's pool must have dropped the mined transactions by then, or it drops later ones.
    """
    node.rpc("evm_setAutomine", [False])
    _wait_until(lambda: waiting(node) == 0, "the pool keeps what it had")
    node.rpc("anvil_reorg", [depth, []])
    node.rpc("anvil_dropAllTransactions")
    node.rpc("evm_setAutomine", [automine])


def waiting(node: Node) -> int:
    """Count the transactions in the node's pool."""
    return int(node.rpc("txpool_status")["pending"], 16)


def _fetch_receipts(node: Node, hashes: Sequence[str]) -> list[Receipt]:
    found: list[Receipt] = []

    def there() -> bool:
        found[:] = node.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
        return None not in found

    _wait_until(there, "the local node did not mine what it was sent")
    return found


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RpcUnavailable(otherwise)
        time.sleep(0.005)


def _lower_gas(transaction: Transaction) -> Transaction:
    """Return the transaction with a gas limit of which a block takes several."""
    return Transaction(
        sender=transaction.sender, to=transaction.to, data=transaction.data, gas=_GAS
    )
