"""What the keeper's transactions of a block really cost and brought, from balances and receipts."""

from collections import Counter
from dataclasses import dataclass, field

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.assets import BY_SYMBOL
from tests.money.arena import Arena

ETHER = 10**18
LIQUIDATED = "0x" + keccak(text="Liquidated(uint256,address,address,uint256,uint256,uint256)").hex()
STEP_FAILED = "0x" + keccak(text="StepFailed(uint256,bytes)").hex()
CALLED = (
    "0x"
    + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
RUN_STEP_ERRORS = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A liquidation that landed: whose, and what the receiver got of which token."""

    account: str
    symbol: str
    profit: int
    worth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    A transaction of the keeper's in a block; money in wei.

    ``cost`` is what the hot key paid, ``lost`` the part of it that failed steps burnt.
    """

    hash: str
    gas: int
    cost: int
    lost: int
    steps: tuple[Step, ...]
    failed: int

    @property
    def net(self) -> int:
        """What its landed steps brought after their own gas."""
        return sum(step.worth for step in self.steps) - (self.cost - self.lost)


@dataclass(slots=True, kw_only=True)
class Block:
    """The keeper's transactions of one block, and what does not add up."""

    sent: list[Sent] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def read_block(there: Arena, block: dict, prices: dict, before: tuple[dict, dict]) -> Block:
    """
    Return what a block brought and cost, checked against the balances before and after it.

    ``before`` are the receiver's and the hot key's balances before the block.
    """
    accounts = there.devnet.accounts
    hot = accounts.hot.lower()
    names = [one["hash"] for one in block["transactions"] if one["from"] == hot]
    receipts = there.devnet.node.batch([("eth_getTransactionReceipt", [name]) for name in names])
    found = Block(sent=[_sent(there, receipt, prices) for receipt in receipts])
    receiver, payer = before
    now = there.balances(accounts.receiver)
    brought = Counter()
    for sent in found.sent:
        for step in sent.steps:
            brought[step.symbol] += step.profit
    for symbol, amount in now.items():
        if symbol and amount - receiver[symbol] < brought[symbol]:
            found.wrong.append(
                f"the receiver got {amount - receiver[symbol]} {symbol}, not {brought[symbol]}"
            )
    paid = payer[""] - there.devnet.node.balance(accounts.hot)
    if paid != sum(sent.cost for sent in found.sent):
        found.wrong.append(f"the hot key paid {paid} wei, its receipts say otherwise")
    return found


def _sent(there: Arena, receipt: dict, prices: dict) -> Sent:
    price, gas = int(receipt["effectiveGasPrice"], 16), int(receipt["gasUsed"], 16)
    cost = price * gas
    steps = _steps(there, receipt, prices)
    if not steps:
        return Sent(
            hash=receipt["transactionHash"], gas=gas, cost=cost, lost=cost, steps=(), failed=1
        )
    failed = sum(log["topics"][0] == STEP_FAILED for log in receipt["logs"])
    lost = price * _burnt(there, receipt, failed) if failed else 0
    return Sent(
        hash=receipt["transactionHash"], gas=gas, cost=cost, lost=lost, steps=steps, failed=failed
    )


def _steps(there: Arena, receipt: dict, prices: dict) -> tuple[Step, ...]:
    symbols = {token.address.lower(): symbol for symbol, token in there.devnet.tokens.items()}
    logs = receipt["logs"]
    whose = [
        to_checksum_address("0x" + log["topics"][3][-40:])
        for log in logs
        if log["topics"][0] == CALLED
    ]
    brought = [log for log in logs if log["topics"][0] == LIQUIDATED]
    steps = []
    for account, log in zip(whose, brought, strict=True):
        symbol = symbols["0x" + log["topics"][2][-40:]]
        profit = int(log["data"][-64:], 16)
        worth = profit * prices[symbol] * ETHER // (BY_SYMBOL[symbol].unit * prices["WETH"])
        steps.append(Step(account=account, symbol=symbol, profit=profit, worth=worth))
    return tuple(steps)


def _burnt(there: Arena, receipt: dict, failed: int) -> int:
    """Return the gas of a transaction's failed steps, each with its share of what all share."""
    trace = there.rpc(
        "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
    )
    own = trace["to"]
    runs = [call for call in trace["calls"] if call["to"] == own and call["from"] == own]
    gas = [(int(run["gasUsed"], 16), bool(run.get("error"))) for run in runs]
    shared = max(0, int(receipt["gasUsed"], 16) - sum(used for used, _ in gas))
    steps = max(1, len(gas))
    return sum(used for used, error in gas if error) + shared * failed // steps


def minimum_wei(usd: int, prices: dict) -> int:
    """Return the policy's minimum in wei, rounded up."""
    return -(-usd * 10**8 * ETHER // prices["WETH"])
