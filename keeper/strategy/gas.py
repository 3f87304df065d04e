"""What a plan's parts cost in gas: limits that suffice, and an expectation to nominate by."""

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
    """Return the gas that a landing is reckoned with at most where ``gas`` was simulated."""
    return Gas(mul_div_ceil(gas, BPS + GAS_MARGIN_BPS, BPS))


@dataclass(frozen=True, slots=True, kw_only=True)
class GasModel:
    """
    Gas of the executor's parts; the protocol's and the lenders' own are with them.

    The parts add up to the *most* that a step takes, alone in its transaction where every
    storage slot is cold. They were fitted to the least gas limit with which a step of
    each module, funding and number of hops still works on Anvil (Aave v3.6: 524,000 to 869,000;
    Morpho Blue: 185,000 to 566,000). A hop is one pool of the route; a flash swap
    trades in each of them twice, the second time on warm slots. A tick is the pool's four
    cold slots and writes.

    ``expected_bps`` is the share of the most that a step is expected to use. Alone in its
    transaction it was 71 to 97 %, in a full one of twelve 50 to 61 % (Aave v3.6) or 47 to 57 %
    (Morpho Blue), for later steps find warm slots. The share is below all of them: what is
    nominated by it is judged again by its simulation, what is not is never looked at.
    ``further_bps`` is that share for a further round of an account, whose slots are warm: 50 to
    63 % (Aave v3.0 and v3.6) or 43 % (Morpho Blue) were measured.

    ``transaction`` is paid once however many plans share it: the intrinsic 21,000,
    the head of the calldata and the executor's loop. ``step`` is a plan's own share
    of calldata and loop. ``report`` is kept back per step of a transaction: the executor's
    ``REPORT_GAS`` and the step's calldata. Both limit; they are no part of an expectation.
    ``margin_bps`` is what a landing may take beyond its simulation.
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
        """Return the gas that no plan for ``opportunity`` undercuts, whatever it shares."""
        hops = 0 if opportunity.spend_token == opportunity.receive_token else self.hop
        return self.least(Gas(opportunity.gas + hops))

    def least(self, gas: Gas) -> Gas:
        """Return the gas that no plan undercuts whose liquidation takes at most ``gas``."""
        return self.expected(Gas(self.step + gas + self.sweep))

    def most(
        self, opportunity: Opportunity, lender: FlashLender | None, hops: int, ticks: int
    ) -> Gas:
        """
        Return the most gas that the step of a plan takes, before headroom.

        ``lender`` None is a flash swap. ``hops`` are the route's pools, ``ticks`` those
        crossed in all their trades.
        """
        own = self.step + opportunity.gas + self.sweep + ticks * self.tick
        if lender is None:
            return Gas(own + self.flash_swap + hops * (self.hop + self.hop_again))
        return Gas(own + lender.gas + hops * self.hop)

    def expected(self, most: Gas) -> Gas:
        """Return what a step of at most ``most`` gas is expected to use, rounded down."""
        return Gas(mul_div_floor(most, self.expected_bps, BPS))

    def step_limit(self, most: Gas, policy: Policy) -> Gas:
        """Return the gas limit of a step that takes at most ``most``, with headroom."""
        return Gas(mul_div_ceil(most, BPS + policy.headroom_bps, BPS))

    def batch_limit(self, step_limits: Sequence[Gas]) -> Gas:
        """
        Return the gas limit of one transaction with steps of these limits.

        The executor starts a step only when its whole limit can be handed on, of which
        the caller keeps a 63rd (EIP-150), and every step, this one included, can still
        be reported afterwards.
        """
        kept = max(step_limits, default=0) // 63 + 1
        return Gas(self.transaction + sum(step_limits) + kept + self.report * len(step_limits))

    def simulated_limit(self, plans: Sequence[Plan], used: Sequence[Gas]) -> Gas:
        """
        Return the gas limit of a transaction whose steps ``used`` so much in the simulation.

        What every step used, before refunds, with ``margin_bps`` on top, and one whole step
        limit: the executor starts a step only when its whole limit is left. A step that finds
        slots cold, since the earlier one that was to warm them failed, takes what that one left.
        Where an executor does not say what steps used, all their limits.
        """
        summed = self.batch_limit(limits_of(plans))
        if not all(used):
            return summed
        expected = sum(mul_div_ceil(gas, BPS + self.margin_bps, BPS) for gas in used)
        largest = max(limits_of(plans), default=0)
        kept = largest // 63 + 1 + self.report * len(plans)
        return Gas(min(summed, self.transaction + expected + largest + kept))

    def most_steps(self, step_limits: Sequence[Gas], policy: Policy, block_limit: Gas) -> int:
        """Return how many steps of the largest of these limits fit into one transaction."""
        largest = max(step_limits, default=Gas(0))
        room = min(policy.max_transaction_gas, block_limit) - self.transaction - largest // 63 - 1
        return max(1, room // (largest + self.report))

    def fits(self, limit: Gas, policy: Policy, costs: Costs) -> bool:
        """Whether a transaction may ask for ``limit``, by protocol, policy and block."""
        return limit <= min(policy.max_transaction_gas, costs.block_gas_limit)


def limits_of(plans: Sequence[Plan]) -> list[Gas]:
    """Return the plans' step limits, in their order."""
    return [plan.step_gas for plan in plans]
