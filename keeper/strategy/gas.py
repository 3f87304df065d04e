"""What a plan's parts cost in gas, as a table: an estimate that errs on the high side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.opportunity import FlashLender, Opportunity
from keeper.domain.plan import Plan
from keeper.domain.units import BPS, Gas, mul_div_ceil
from keeper.strategy.policy import Costs, Policy

_TRANSACTION: Final = Gas(40_000)
_STEP: Final = Gas(12_000)
_HOP: Final = Gas(80_000)
_TICK: Final = Gas(25_000)
_FLASH_SWAP: Final = Gas(20_000)
_SWEEP: Final = Gas(30_000)
_REPORT: Final = Gas(36_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class GasModel:
    """
    Gas of the executor's parts; the protocol's and the lenders' own are with them.

    The defaults are deliberately high. They come from whole liquidations of Aave v3.6
    measured on Anvil: 367,629 by an externally owned account, 478,201 with a flash
    loan and one sale, 409,810 with a flash swap. The tick's figure is the protocol's
    four cold storage slots and writes. A measured table should replace them.

    ``transaction`` is paid once however many plans share it: the intrinsic 21,000,
    the head of the calldata and the executor's loop. ``step`` is a plan's own share
    of calldata and loop. ``report`` is kept back per step of a transaction: the executor's
    ``REPORT_GAS`` and the step's calldata; it limits, it is not used.
    """

    transaction: Gas = _TRANSACTION
    step: Gas = _STEP
    hop: Gas = _HOP
    tick: Gas = _TICK
    flash_swap: Gas = _FLASH_SWAP
    sweep: Gas = _SWEEP
    report: Gas = _REPORT

    def at_least(self, opportunity: Opportunity) -> Gas:
        """Return the gas that no plan for ``opportunity``, alone in its transaction, undercuts."""
        hops = 0 if opportunity.spend_token == opportunity.receive_token else self.hop
        return Gas(self.transaction + self.step + opportunity.gas + hops + self.sweep)

    def alone(
        self, opportunity: Opportunity, lender: FlashLender | None, hops: int, ticks: int
    ) -> Gas:
        """
        Return the gas of a plan that is alone in its transaction.

        ``lender`` None is a flash swap. ``hops`` counts every swap of every pool,
        so that a flash swap counts its purchase and its sale.
        """
        funding = self.flash_swap if lender is None else lender.gas
        own = self.transaction + self.step + self.sweep
        return Gas(own + opportunity.gas + funding + hops * self.hop + ticks * self.tick)

    def step_limit(self, gas: Gas, policy: Policy) -> Gas:
        """Return the gas limit of the step of a plan that takes ``gas`` alone, with headroom."""
        return Gas(mul_div_ceil(gas - self.transaction, BPS + policy.headroom_bps, BPS))

    def batch_limit(self, plans: Sequence[Plan], policy: Policy) -> Gas:
        """
        Return the gas limit of one transaction with these plans.

        The executor starts a step only when its whole limit can be handed on, of which
        the caller keeps a 63rd (EIP-150), and every step, this one included, can still
        be reported afterwards.
        """
        limits = [self.step_limit(plan.gas, policy) for plan in plans]
        kept = max(limits, default=0) // 63 + 1
        return Gas(self.transaction + sum(limits) + kept + self.report * len(limits))

    def fits(self, limit: Gas, policy: Policy, costs: Costs) -> bool:
        """Whether a transaction may ask for ``limit``, by protocol, policy and block."""
        return limit <= min(policy.max_transaction_gas, costs.block_gas_limit)
