"""A node that leaves logs out of its answers, for a while or for ever, without an error."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tests.support.proxy import Proxy

Message = dict[str, Any]
Raw = dict[str, Any]

LOGS = "eth_getLogs"
BLOCK_RECEIPTS = "eth_getBlockReceipts"
RECEIPT = "eth_getTransactionReceipt"


def keep_none(logs: list[Raw]) -> list[Raw]:
    """Leave out all logs."""
    return []


def drop_at(place: int) -> Callable[[list[Raw]], list[Raw]]:
    """Leave out one log by its place, counted from the end where negative."""

    def drop(logs: list[Raw]) -> list[Raw]:
        at = place if place >= 0 else len(logs) + place
        return [log for number, log in enumerate(logs) if number != at]

    return drop


def drop_addresses(addresses: Collection[str]) -> Callable[[list[Raw]], list[Raw]]:
    """Leave out the logs of some contracts."""
    left_out = {address.lower() for address in addresses}
    return lambda logs: [log for log in logs if log["address"].lower() not in left_out]


@dataclass
class Withholding:
    """
    Changes a proxy's answers while it is ``on``.

    ``by_hash``, ``by_range`` and ``receipts`` are the ways of asking that are answered wrongly.
    ``answers`` is how many answers about one block, or range, are wrong; None for all.
    """

    proxy: Proxy
    change: Callable[[list[Raw]], list[Raw]] = keep_none
    by_hash: bool = True
    by_range: bool = False
    receipts: bool = False
    answers: int | None = None
    instead: Message | None = None
    on: bool = False
    asked: dict[str, int] = field(default_factory=dict)
    changed: int = 0

    def __post_init__(self) -> None:
        self.proxy.hooks.append(self)

    async def __call__(self, request: Message) -> Message | None:
        """Answer a request for logs wrongly, where it is time to."""
        if not self.on or not self._concerns(request):
            return None
        about = str(request["params"])
        self.asked[about] = self.asked.get(about, 0) + 1
        if self.answers is not None and self.asked[about] > self.answers:
            return None
        self.changed += 1
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if self.instead is not None:
            return head | self.instead
        result = await self.proxy.ask(request["method"], *request["params"])
        return head | {"result": self._changed(request["method"], result)}

    def _concerns(self, request: Message) -> bool:
        if request.get("method") == LOGS:
            by_hash = "blockHash" in request["params"][0]
            return self.by_hash if by_hash else self.by_range
        return self.receipts and request.get("method") in (BLOCK_RECEIPTS, RECEIPT)

    def _changed(self, method: str, result: Any) -> Any:
        if method == LOGS:
            return self.change(result)
        if method == BLOCK_RECEIPTS:
            return [one | {"logs": self.change(one["logs"])} for one in result]
        return result | {"logs": self.change(result["logs"])}
