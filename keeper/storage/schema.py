"""The journal's tables in SQLAlchemy Core, for SQLite and PostgreSQL.

Amounts are decimal strings, since no database integer holds 256 bits. Hashes and addresses are text
as in the domain, documents canonical JSON. ``entries`` and ``texts`` are the record
(docs/record.md).
"""

from typing import Final

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

metadata: Final = MetaData()

LANE: Final = "main"
"""The only lane so far, one key with one sequence of nonces."""

ROUTE: Final = "public"
"""The only route so far, the public mempool."""


class Amount(TypeDecorator[int]):
    """An exact integer of any size, stored as a decimal string."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Write the integer as decimal digits."""
        return None if value is None else str(int(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Parse the stored integer."""
        return None if value is None else int(value)


identity: Final = Table(
    "identity",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("chain_id", Amount, nullable=False),
    Column("sender", Text, nullable=False),
    Column("first_nonce", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("anchor_number", Integer),
    Column("anchor_hash", Text),
)
"""The journal's owner. The anchor is a deep block that identifies its chain."""

transactions: Final = Table(
    "transactions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("nonce", Integer, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("executor", Text),
    Column("calldata", LargeBinary, nullable=False),
    Column("gas_limit", Amount, nullable=False),
    Column("deadline", Amount),
    Column("net_profit", Amount),
    Column("block_number", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("lane", "nonce", name="one_owner_per_nonce"),
    Index("transactions_by_state", "state"),
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_id", Integer, ForeignKey("transactions.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("raw", LargeBinary, nullable=False),
    Column("max_fee", Amount, nullable=False),
    Column("priority_fee", Amount, nullable=False),
    Column("gas_limit", Amount, nullable=False),
    Column("to_address", Text, nullable=False),
    Column("calldata", LargeBinary, nullable=False),
    Column("block_number", Integer, nullable=False),
    Column("route", Text, nullable=False),
    Column("lease_epoch", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("sent_at", Text),
    Column("send_result", Text),
    Index("attempts_of_transaction", "transaction_id"),
)

intents: Final = Table(
    "intents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_id", Integer, ForeignKey("transactions.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("chain_id", Amount, nullable=False),
    Column("market", Text, nullable=False),
    Column("borrower", Text, nullable=False),
    Column("spent", Text, nullable=False),
    Column("received", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("plan", Text, nullable=False),
    UniqueConstraint(
        "chain_id", "market", "borrower", "spent", "received", "round", name="one_intent_per_round"
    ),
    Index("intents_of_transaction", "transaction_id"),
)

outcomes: Final = Table(
    "outcomes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_id", Integer, ForeignKey("transactions.id"), nullable=False),
    Column("hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("success", Integer, nullable=False),
    Column("block_number", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("gas_used", Amount, nullable=False),
    Column("effective_gas_price", Amount, nullable=False),
    Column("plans", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("block_time", Integer),
    Column("data_fee", Amount),
    Index("outcomes_of_transaction", "transaction_id"),
    Index("outcomes_by_time", "block_time"),
)

bookings: Final = Table(
    "bookings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_id", Integer, ForeignKey("transactions.id"), nullable=False),
    Column("hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("block_number", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("profit", Amount, nullable=False),
    Column("profit_wei", Amount, nullable=False),
    Column("booked_at", Text, nullable=False),
    UniqueConstraint("hash", "log_index", name="one_booking_per_log"),
    Index("bookings_of_transaction", "transaction_id"),
)
"""Profit with one row per log of a receipt, ``booked``, or ``orphaned`` after a reorg."""

entries: Final = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("block_number", Integer, nullable=False),
    Column("block_time", Integer, nullable=False),
    Column("market", Text),
    Column("account", Text),
    Column("body", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
Index("entries_of_block", entries.c.block_number)
Index(
    "entries_of_account",
    entries.c.account,
    sqlite_where=entries.c.account.is_not(None),
    postgresql_where=entries.c.account.is_not(None),
)

OF_DIGESTS: Final = text("kind = 'delivery' AND account IS NULL")
"""Deliveries of messages about several accounts. The same text is the index's condition."""
Index("entries_of_digests", entries.c.id, sqlite_where=OF_DIGESTS, postgresql_where=OF_DIGESTS)

texts: Final = Table(
    "texts",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("text", Text, nullable=False),
)

control_actions: Final = Table(
    "control_actions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("argument", Text, nullable=False),
    Column("result", Text, nullable=False),
)

breakers: Final = Table(
    "breakers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("wanted", Amount, nullable=False),
    Column("block_number", Integer, nullable=False),
    Column("block_time", Integer, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("closed_at", Text),
    Column("closed_by", Text),
    Column("settled_through", Integer),
    Index("breakers_by_name", "name"),
)
"""One row per opening of a breaker, which is open while ``closed_at`` is null."""

paper: Final = Table(
    "paper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("block_number", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("net_profit", Amount, nullable=False),
    Column("gas", Amount, nullable=False),
    Column("gas_price", Amount, nullable=False),
    Column("plan", Text, nullable=False),
)

notices: Final = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("market", Text),
    Column("account", Text),
    Column("episode", Integer),
    Column("block_number", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("enqueued_at", Integer, nullable=False),
    Column("routed_at", Integer),
    Index("notices_to_route", "routed_at"),
    Index("notices_of_account", "account", "block_number"),
)
"""Notices, each once. Their channels are assigned by routing."""

messages: Final = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("ended_at", Integer),
    Index("messages_by_state", "state", "channel", "due_at"),
)
"""One or several notices for a channel. A retry repeats the message under its key."""

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("notice_id", Integer, ForeignKey("notices.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("message_id", Integer, ForeignKey("messages.id")),
    UniqueConstraint("notice_id", "channel", name="one_telling_per_channel"),
    Index("deliveries_waiting", "channel", "message_id"),
    Index("deliveries_of_message", "message_id"),
)
"""Deliveries of notices to channels, with their messages."""

margin_state: Final = Table(
    "margin_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("block_number", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("seen_at", Integer),
)
"""
One row with the margin-call state of the newest block, apart from its accounts.

``seen_at`` is the storage time by this machine's clock.
"""

acted: Final = Table(
    "acted",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("block_hash", Text, nullable=False),
    Column("document", Text, nullable=False),
)
"""Facts of a block about acted-on accounts, until the margin state includes the block."""

standings: Final = Table(
    "standings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("block_number", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("advice", Text),
    UniqueConstraint("market", "account", name="one_standing_per_account"),
)
"""State of each account in or near a tier. ``advice`` belongs to its call."""

episodes: Final = Table(
    "episodes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("opened_block", Integer, nullable=False),
    Column("opened_time", Integer, nullable=False),
    Column("opened_at", Integer, nullable=False),
    Column("closed_block", Integer),
    Column("closed_time", Integer),
    Column("closed_at", Integer),
    Column("outcome", Text),
    UniqueConstraint("market", "account", "number", name="one_row_per_episode"),
)
