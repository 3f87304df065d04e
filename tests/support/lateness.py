"""Nodes that have a block some time after it was first asked for, or at some asks only."""

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.support.scripted_node import Refusal

HASH_LENGTH = 66
HEADERS = ("eth_getBlockByHash", "eth_getBlockByNumber")
STATE = {
    "eth_call": "0x" + "00" * 31 + "2a",
    "eth_getBalance": "0x1",
    "eth_getStorageAt": "0x1",
    "eth_getCode": "0x60",
    "eth_estimateGas": "0x5208",
    "eth_simulateV1": [{"calls": [{"status": "0x1", "gasUsed": "0x5208", "returnData": "0x"}]}],
    "eth_getLogs": [],
}
"""What a scripted node answers to the methods that are pinned to a block."""


def named_block(params):
    """Return the hash, or the number, of the block that a request names."""
    for one in params:
        if isinstance(one, dict):
            named = one.get("blockHash") or one.get("toBlock")
            if named is not None:
                return named
        elif isinstance(one, str) and len(one) == HASH_LENGTH:
            return one
    numbers = [one for one in params if isinstance(one, str) and len(one) < 20]
    return numbers[0] if numbers else None


@dataclass
class Lateness:
    """
    What a node lacks: ``methods`` fail for ``seconds`` after a block's hash was first asked for.

    With ``numbers`` those that name a number do so, too. ``asks`` of a number: for so many asks
    instead. ``refusal`` is what it says then; None: ``null``. ``lacked`` counts by method how often
    it said so.
    """

    seconds: float = 0.0
    asks: int | None = None
    numbers: bool = False
    methods: tuple[str, ...] = (*STATE, "eth_getBlockByHash")
    refusal: Refusal | None = field(default_factory=lambda: Refusal("header not found"))
    lacked: Counter = field(default_factory=Counter)
    _born: dict = field(default_factory=dict)
    _asked: Counter = field(default_factory=Counter)

    def lacks(self, method, params):
        """Whether the node does not have the block that a request names yet."""
        named = named_block(params)
        if method not in self.methods or named is None:
            return False
        if len(named) != HASH_LENGTH and not self.numbers:
            return False
        self._asked[named] += 1
        if self.asks is not None:
            lacking = self._asked[named] <= self.asks
        else:
            now = time.monotonic()
            lacking = now - self._born.setdefault(named, now) < self.seconds
        self.lacked[method] += lacking
        return lacking

    def put_before(self, node):
        """Have a scripted node answer so, with state for every pinned method."""
        for method in (*STATE, *HEADERS):
            answer = node.handlers.get(method) or self._answer_of(node, method)
            node.handlers[method] = self._handler(method, answer)
        return node

    def _handler(self, method, answer):
        def handle(params):
            if not self.lacks(method, params):
                return answer(params)
            if self.refusal is None or method in HEADERS:
                return None
            raise self.refusal

        return handle

    @staticmethod
    def _answer_of(node, method):
        if method in STATE:
            return lambda _: STATE[method]
        return lambda params: node.result(method, params)
