"""First schema, with nonces, attempts, intents, outcomes, decisions, control and paper."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    _create_submission_tables()
    _record_tables()


def _create_submission_tables() -> None:
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("chain_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("first_nonce", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
    )
    op.create_table(
        "transactions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("nonce", sa.Integer, nullable=False),
        sa.Column("lease_epoch", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("executor", sa.Text),
        sa.Column("calldata", sa.LargeBinary, nullable=False),
        sa.Column("gas_limit", sa.Text(), nullable=False),
        sa.Column("deadline", sa.Text()),
        sa.Column("net_profit", sa.Text()),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.UniqueConstraint("lane", "nonce", name="one_owner_per_nonce"),
    )
    op.create_index("transactions_by_state", "transactions", ["state"])
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_id", sa.Integer, sa.ForeignKey("transactions.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("max_fee", sa.Text(), nullable=False),
        sa.Column("priority_fee", sa.Text(), nullable=False),
        sa.Column("gas_limit", sa.Text(), nullable=False),
        sa.Column("to_address", sa.Text, nullable=False),
        sa.Column("calldata", sa.LargeBinary, nullable=False),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("lease_epoch", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("sent_at", sa.Text),
        sa.Column("send_result", sa.Text),
    )
    op.create_index("attempts_of_transaction", "attempts", ["transaction_id"])
    op.create_table(
        "intents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_id", sa.Integer, sa.ForeignKey("transactions.id"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("chain_id", sa.Text(), nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("borrower", sa.Text, nullable=False),
        sa.Column("spent", sa.Text, nullable=False),
        sa.Column("received", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.UniqueConstraint(
            "chain_id",
            "market",
            "borrower",
            "spent",
            "received",
            "round",
            name="one_intent_per_round",
        ),
    )
    op.create_index("intents_of_transaction", "intents", ["transaction_id"])
    op.create_table(
        "outcomes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_id", sa.Integer, sa.ForeignKey("transactions.id"), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("success", sa.Integer, nullable=False),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("gas_used", sa.Text(), nullable=False),
        sa.Column("effective_gas_price", sa.Text(), nullable=False),
        sa.Column("plans", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
    )
    op.create_index("outcomes_of_transaction", "outcomes", ["transaction_id"])


def _record_tables() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("net_profit", sa.Text()),
        sa.Column("profit_band", sa.Integer),
        sa.Column("health_factor", sa.Text()),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("decisions_of_account", "decisions", ["account", "block_number"])
    op.create_table(
        "digests",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
    )
    op.create_index("digests_of_block", "digests", ["block_number"])
    op.create_table(
        "control_actions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("argument", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
    )
    op.create_table(
        "paper",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("net_profit", sa.Text(), nullable=False),
        sa.Column("gas", sa.Text(), nullable=False),
        sa.Column("gas_price", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
    )
