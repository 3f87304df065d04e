"""Builds fee sources and bidding policies from the settings."""

from keeper.composition.session import Session
from keeper.config import Settings
from keeper.domain.head import Head
from keeper.domain.units import GWEI, USD_E8, Address, Bps, Gas, Wei
from keeper.execution.data_fees import DataFees
from keeper.execution.fee_quotes import NodeFees
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.strategy.policy import Policy


async def fee_oracle(
    session: Session, head: Head | None = None, *, saves_requests: bool = False
) -> FeeOracle:
    """Build the fee source for gas and data, at the newest block by default.

    A command that sends nothing ``saves_requests``. It uses persisted facts and fewer checks.
    """
    reader, chain = session.reader, session.settings.chain
    kind = await session.fetch_data_fee_kind(head, from_kept=saves_requests)
    data = DataFees(reader=reader, chain_id=chain.id, kind=kind)
    source, policy = NodeFees(rpc=reader.rpc), fee_policy(session.settings)
    return FeeOracle(source, chain.id, policy, data, saves_requests=saves_requests)


def liquidation_policy(settings: Settings, wrapped: Address | None) -> Policy:
    """Build the profit policy. ``wrapped`` is the token that pays the builder."""
    policy = settings.policy
    return Policy(
        min_profit_usd_e8=int(policy.min_profit_usd * USD_E8),
        tolerance_bps=Bps(policy.tolerance_bps),
        builder_share_bps=Bps(policy.builder_share_bps),
        builder_token=wrapped,
        profit_bid_bps=Bps(policy.profit_bid_bps),
        max_transaction_gas=Gas(policy.max_transaction_gas),
        max_plans_per_transaction=policy.max_plans_per_transaction,
        rounds=policy.max_rounds_per_account,
    )


def fee_policy(settings: Settings) -> FeePolicy:
    """Build the bidding policy."""
    wanted = settings.policy
    return FeePolicy(
        max_fee=Wei(int(wanted.max_fee_gwei * GWEI)),
        percentile=wanted.priority_percentile,
        bump_bps=Bps(wanted.bump_bps),
        max_multiple=wanted.max_fee_multiple,
    )
