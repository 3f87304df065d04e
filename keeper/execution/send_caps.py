"""Caps of nodes on transactions, inferred from sends that every endpoint refused for good.

A cap lasts for a while and is then tested again. An account with a transaction refused alone is
skipped as long. If no transaction of ours would be accepted, for example because nodes do not know
its type, signing halts.
"""

import enum
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from keeper.domain.errors import RpcRefused
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch
from keeper.domain.submission import Fees, Submission
from keeper.domain.units import MAX_TRANSACTION_GAS, WAD, Gas, Wei
from keeper.execution.fees import FeeMarket
from keeper.execution.guard import Parts, Priced
from keeper.execution.reserving import Subset, no_subset, priced_parts

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 300.0
LONGEST_RETRY_SECONDS: Final = 3_600.0
LEAST_GAS: Final = Gas(100_000)
"""Lowest plausible gas cap. A smaller number in a refusal means something else."""
ENVELOPE_BYTES: Final = 200
"""Bytes of a signed transaction beside its calldata, at the most."""


class SendLimit(enum.StrEnum):
    """Quantity of which a permanently refused transaction has too much."""

    GAS = "gas"
    FEE = "fee"  # gas limit times max fee, as geth's rpc.txfeecap counts
    SIZE = "size"
    KIND = "kind"  # nothing of ours would be taken: its type, its sender, its chain
    PLANS = "plans"  # nothing that has a measure: one of its plans may be to blame


_SIGNS: Final[Sequence[tuple[SendLimit, Sequence[str]]]] = (
    (
        SendLimit.KIND,
        (
            "transaction type",
            "tx type",
            "invalid transaction envelope type",
            "chain id",
            "chainid",
            "another chain",
            "invalid sender",
            "recover sender",
            "resolvesender",
            "an eoa",
            "signature",
        ),
    ),
    (SendLimit.FEE, ("configured cap", "transaction fee cap", "fee cap exceeded")),
    (
        SendLimit.SIZE,
        ("oversized", "too large", "rlptoolong", "initcode size", "max initcode", "size limit"),
    ),
    (
        SendLimit.GAS,
        (
            "transaction gas limit",
            "block gas limit",
            "gas limit reached",
            "gaslimitexceeded",
            "gas limit too high",
            "gas limit is too high",
            "gas limit exceeded",
            "maximum transaction gas",
            "max transaction gas",
            "gas cap",
        ),
    ),
)
"""Wordings in lower case, hyphens and underscores as spaces. The first match counts."""

_SEPARATORS: Final = re.compile(r"[\s_-]+")
_WHOLE: Final = re.compile(r"(?<![\w.])\d{4,}(?![\w.])")
_ETHER: Final = re.compile(r"cap\D*?(\d+(?:\.\d+)?)\s*ether")


@dataclass(frozen=True, slots=True)
class _Cap:
    """A cap, and when it is tried again (monotonic seconds)."""

    value: int
    retry_at: float
    pause: float


@dataclass(slots=True, kw_only=True)
class SendCaps:
    """Caps that an accepted transaction has to respect.

    ``most_gas`` is the policy's. ``split`` halves a batch into two transactions, or returns nothing
    if it cannot be divided. ``subset`` builds a transaction of some of its plans.
    """

    most_gas: Gas = MAX_TRANSACTION_GAS
    split: Callable[[Batch], Sequence[Batch]] = lambda _: ()
    subset: Subset = no_subset
    clock: Callable[[], float] = time.monotonic
    _caps: dict[SendLimit | Subject, _Cap] = field(default_factory=dict)
    _halted: str = ""

    def learn(self, submission: Submission, error: RpcRefused) -> SendLimit:
        """Derive a cap from a permanently refused transaction, and return the exceeded limit."""
        attempt = submission.newest
        said = _SEPARATORS.sub(" ", (error.text or str(error)).lower())
        limit = next(
            (limit for limit, signs in _SIGNS if any(sign in said for sign in signs)),
            SendLimit.PLANS,
        )
        value = _derive_cap(limit, submission, said)
        is_single = limit is SendLimit.PLANS and not value
        for key in submission.accounts if is_single else (limit,):
            self._store_cap(key, value)
        if limit is SendLimit.KIND:
            self._halted = error.text or str(error)
        log.error("send_refused nonce=%d limit=%s cap=%d reason=%s",
                  attempt.nonce, limit, value, error)  # fmt: skip
        return limit

    def _store_cap(self, key: SendLimit | Subject, value: int) -> None:
        """Store a cap, the lowest while one is active, for twice as long after another refusal."""
        before, now, pause = self._caps.get(key), self.clock(), FIRST_RETRY_SECONDS
        if before is not None:
            known = now < before.retry_at
            value = min(value, before.value) if known else value
            pause = before.pause if known else min(2 * before.pause, LONGEST_RETRY_SECONDS)
        self._caps[key] = _Cap(value, now + pause, pause)

    def halted(self) -> str:
        """Return why signing is halted for a while. Empty if it is not."""
        if self.known_value(SendLimit.KIND) is None:
            return ""
        return f"every endpoint refuses our transactions for good: {self._halted}"

    def reason(self) -> str:
        """Return why no transaction was sent that might have paid."""
        return self.halted() or "no endpoint takes such a transaction"

    def most_fee(self, gas_limit: Gas) -> Wei | None:
        """Return the highest maxFeePerGas that nodes accept. None without a cap."""
        cap = self.known_value(SendLimit.FEE)
        return None if cap is None else Wei(cap // max(gas_limit, 1))

    def parts(self, price: Callable[[Batch], Fees | None]) -> Parts:
        """Build the function that splits a batch into two transactions, with fees by ``price``."""
        return partial(priced_parts, self.subset, price)

    def fit(
        self,
        priced: Sequence[Priced],
        price: Callable[[Batch], Fees | None],
        market: FeeMarket,
        head: Head,
    ) -> list[Priced]:
        """Fit the batches into transactions within every cap, in order.

        A batch beyond a cap is split, or its maximum fee lowered as far as the market allows.
        ``price`` bids for a part. A single plan that does not fit is dropped.
        """
        fitting = list[Priced]()
        for batch, fees in priced:
            fitting += self._fit_one(batch, fees, price, market, head)
        return fitting

    def _fit_one(
        self,
        batch: Batch,
        fees: Fees | None,
        price: Callable[[Batch], Fees | None],
        market: FeeMarket,
        head: Head,
    ) -> list[Priced]:
        barred = any(
            self.known_value((plan.market, plan.account)) is not None for plan in batch.plans
        )
        if fees is None or (barred and len(batch.plans) == 1):
            return []
        lowered = self._lower_fees(batch, fees, market)
        if lowered is not None and not barred and self._is_small_enough(batch, head):
            return [(batch, lowered)]
        parts = self.split(batch)
        if not parts:
            log.warning(
                "too_large_to_send block=%d gas_limit=%d plans=%d",
                head.number,
                batch.gas_limit,
                len(batch.plans),
            )
        return [
            fitting
            for part in parts
            for fitting in self._fit_one(part, price(part), price, market, head)
        ]

    def _is_small_enough(self, batch: Batch, head: Head) -> bool:
        gas, size = self.known_value(SendLimit.GAS), self.known_value(SendLimit.SIZE)
        plans = self.known_value(SendLimit.PLANS)
        most = [cap for cap in (self.most_gas, head.gas_limit, gas) if cap]
        return (
            batch.gas_limit <= min(most)
            and (size is None or len(batch.calldata) + ENVELOPE_BYTES <= size)
            and (plans is None or len(batch.plans) <= plans)
        )

    def _lower_fees(self, batch: Batch, fees: Fees, market: FeeMarket) -> Fees | None:
        """Lower the fees to the cap. None if they would not cover two rising blocks."""
        most = self.most_fee(batch.gas_limit)
        if most is None or fees.max_fee <= most:
            return fees
        risen = market.base_fee * 81 // 64  # an eighth more, twice
        if most < risen + fees.priority_fee:
            return None
        return Fees(max_fee=most, priority_fee=fees.priority_fee)

    def known_value(self, key: SendLimit | Subject) -> int | None:
        """Return the known value of a limit. None while it is unknown or due for a test."""
        cap = self._caps.get(key)
        return None if cap is None or self.clock() >= cap.retry_at else cap.value


def _derive_cap(limit: SendLimit, submission: Submission, said: str) -> int:
    """Return the cap that a refusal names, or half of the refused quantity."""
    attempt = submission.newest
    if limit is SendLimit.GAS:
        named = [int(number) for number in _WHOLE.findall(said)]
        lower = [number for number in named if LEAST_GAS <= number < attempt.gas_limit]
        return max(lower, default=attempt.gas_limit // 2)
    if limit is SendLimit.FEE:
        offered = attempt.gas_limit * attempt.fees.max_fee
        named = [_parse_ether(ether) for ether in _ETHER.findall(said)]
        lower = [number for number in named if 0 < number < offered]
        return max(lower, default=offered // 2)
    if limit is SendLimit.SIZE:
        named = [int(number) for number in _WHOLE.findall(said)]
        lower = [number for number in named if ENVELOPE_BYTES < number < len(attempt.raw)]
        return max(lower, default=len(attempt.raw) // 2)
    return len(submission.accounts) // 2


def _parse_ether(ether: str) -> int:
    """Parse decimal ether to wei, exactly, rounded down."""
    whole, _, fraction = ether.partition(".")
    digits = len(str(WAD)) - 1
    return int(whole) * WAD + int(fraction[:digits].ljust(digits, "0"))
