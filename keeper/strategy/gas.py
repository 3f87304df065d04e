"""Gas model of a plan's parts, with sufficient limits and an expectation for ranking."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.opportunity import FlashLender, Opportunity
from keeper.domain.plan import Plan
from keeper.domain.units import BPS, Bps, Gas, mul_div_ceil, mul_div_floor
from keeper.strategy.policy import Costs, Policy

GAS_MARGIN_BPS: Final = Bps(1_000)
"""How much more gas than simulated a landing is reckoned with, in basis points."""
_TRANSACTION: Final = Gas(40_000)
_STEP: Final = Gas(12_000)
_HOP: Final = Gas(110_000)
_HOP_AGAIN: Final = Gas(30_000)
_TICK: Final = Gas(25_000)
_FLASH_SWAP: Final = Gas(20_000)
_SWEEP: Final = Gas(30_000)
_REPORT: Final = Gas(36_000)
_EXPECTED: Final = Bps(4_500)
_FURTHER: Final = Bps(4_000)
_MARGIN: Final = Bps(1_000)


def gas_at_most(gas: int) -> Gas:
    """Compute the highest gas assumed for an inclusion from the simulated ``gas``."""
    return Gas(mul_div_ceil(gas, BPS + GAS_MARGIN_BPS, BPS))


@dataclass(frozen=True, slots=True, kw_only=True)
class GasModel:
    """Gas of the executor's parts. Protocols and lenders state their own.

    The parts add up to the *most* gas of a step, alone in its transaction with every storage slot
    cold. They were fitted to the least gas limit with which a step of each module, funding and
    number of hops still succeeds on Anvil (Aave v3.6: 524,000 to 869,000, Morpho Blue: 185,000 to
    566,000). A hop is one pool of the route. A flash swap trades in each pool twice, the second
    time on warm slots. A tick is four cold slots and writes of a pool.

    ``expected_bps`` is the expected share of that most. Alone in its transaction a step used 71 to
    97 %, in a full one of twelve 50 to 61 % (Aave v3.6) or 47 to 57 % (Morpho Blue), as later steps
    find warm slots. The value is below all of them, because a plan that is selected by it is
    checked again by its simulation, while one that is not selected is never checked.

    ``transaction`` is paid once per transaction for the intrinsic 21,000, the calldata's head and
    the executor's loop. ``step`` is a plan's own share of calldata and loop. ``report`` is reserved
    per step for the executor's ``REPORT_GAS`` and the step's calldata. Both count towards limits
    only, not towards an expectation. ``margin_bps`` is the margin of an inclusion over its
    simulation.
    """

    transaction: Gas = _TRANSACTION
    step: Gas = _STEP
    hop: Gas = _HOP
    hop_again: Gas = _HOP_AGAIN
    tick: Gas = _TICK
    flash_swap: Gas = _FLASH_SWAP
    sweep: Gas = _SWEEP
    report: Gas = _REPORT
    expected_bps: Bps = _EXPECTED
    further_bps: Bps = _FURTHER
    margin_bps: Bps = _MARGIN

    def at_least(self, opportunity: Opportunity) -> Gas:
        """Compute a lower bound of any plan's gas for ``opportunity``."""
        hops = 0 if opportunity.spend_token == opportunity.receive_token else self.hop
        return self.least(Gas(opportunity.gas + hops))

    def least(self, gas: Gas) -> Gas:
        """Compute a lower bound of a plan's gas from ``gas``, the most of its liquidation."""
        return self.expected(Gas(self.step + gas + self.sweep))

    def most(
        self, opportunity: Opportunity, lender: FlashLender | None, hops: int, ticks: int
    ) -> Gas:
        """Compute the most gas of a plan's step, before headroom.

        ``lender`` None is a flash swap. ``hops`` counts the route's pools, ``ticks`` the ticks
        crossed in all their trades.
        """
        own = self.step + opportunity.gas + self.sweep + ticks * self.tick
        if lender is None:
            return Gas(own + self.flash_swap + hops * (self.hop + self.hop_again))
        return Gas(own + lender.gas + hops * self.hop)

    def expected(self, most: Gas) -> Gas:
        """Compute the expected gas of a step of at most ``most`` gas, rounded down."""
        return Gas(mul_div_floor(most, self.expected_bps, BPS))

    def step_limit(self, most: Gas, policy: Policy) -> Gas:
        """Return the gas limit of a step that takes at most ``most``, with headroom."""
        return Gas(mul_div_ceil(most, BPS + policy.headroom_bps, BPS))

    def batch_limit(self, step_limits: Sequence[Gas]) -> Gas:
        """Compute the gas limit of one transaction with steps of these limits.

        The executor starts a step only if its whole limit can be forwarded, of which the caller
        retains a 63rd (EIP-150), and if every step can still be reported afterwards.
        """
        kept = max(step_limits, default=0) // 63 + 1
        return Gas(self.transaction + sum(step_limits) + kept + self.report * len(step_limits))

    def simulated_limit(self, plans: Sequence[Plan], used: Sequence[Gas]) -> Gas:
        """Compute a transaction's gas limit from the gas ``used`` by its simulated steps.

        It is every step's use before refunds with ``margin_bps`` added, plus one whole step limit,
        since the executor starts a step only if its whole limit remains. A step with cold slots,
        because the step before failed, can use the gas of that step. If an executor does not report
        the steps' gas, all their limits count.
        """
        summed = self.batch_limit(limits_of(plans))
        if not all(used):
            return summed
        expected = sum(mul_div_ceil(gas, BPS + self.margin_bps, BPS) for gas in used)
        largest = max(limits_of(plans), default=0)
        kept = largest // 63 + 1 + self.report * len(plans)
        return Gas(min(summed, self.transaction + expected + largest + kept))

    def most_steps(self, step_limits: Sequence[Gas], policy: Policy, block_limit: Gas) -> int:
        """Count the steps of the largest of these limits that fit into one transaction."""
        largest = max(step_limits, default=Gas(0))
        room = min(policy.max_transaction_gas, block_limit) - self.transaction - largest // 63 - 1
        return max(1, room // (largest + self.report))

    def fits(self, limit: Gas, policy: Policy, costs: Costs) -> bool:
        """Return whether protocol, policy and block allow a transaction's gas limit."""
        return limit <= min(policy.max_transaction_gas, costs.block_gas_limit)


def limits_of(plans: Sequence[Plan]) -> list[Gas]:
    """Return the plans' step limits, in their order."""
    return [plan.step_gas for plan in plans]
