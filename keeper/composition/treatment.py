"""Builds the planners of cures and clearings on the journal of a mode."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from keeper.chain.abi import selector
from keeper.composition.bidding import fee_oracle
from keeper.composition.session import Session
from keeper.composition.timing import block_seconds
from keeper.composition.wallet import an_operator, hot_address, is_operator
from keeper.config import Settings
from keeper.domain.cure import cure_tolerance
from keeper.domain.errors import EnvironmentFault
from keeper.domain.head import Basis, Head
from keeper.domain.parity import Subject
from keeper.domain.submission import Submission
from keeper.domain.units import Address
from keeper.execution.chain import Emit
from keeper.execution.landing_run import LandingRun
from keeper.execution.paper import PaperSubmitter
from keeper.execution.pending import acting_nonces
from keeper.execution.purse import Purse
from keeper.execution.repeating import PendingRun
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.vault import CLEAR_SIGNATURE, CURE_SIGNATURE
from keeper.execution.vault_simulator import VaultSimulator
from keeper.ports import Submitter
from keeper.stages.clearing import Clearing
from keeper.stages.curing import Curing, Learned, Terms, nothing_learned
from keeper.stages.rehearsal import Repeats, Runs
from keeper.storage.cures import was_cured
from keeper.storage.database import Database
from keeper.storage.journal import Journal

HOUR_SECONDS = 3_600


async def curing_of(
    session: Session,
    submitter: Submitter,
    emit: Emit,
    journal: Journal | None,
    learned: Learned = nothing_learned,
) -> Curing | None:
    """Build the planner of cures. None if no account is listed.

    A live run sends, a dry run books as one of the vault's operators, and an observer only reports.
    ``learned`` persists a block's state of some accounts.

    Raises:
        EnvironmentFault: there is no vault at the address, or the hot key is not its
            operator.
    """
    wanted, policy = session.settings.cure, session.settings.policy
    if wanted.vault is None or not wanted.account:
        return None
    live = submitter if isinstance(submitter, NodeSubmitter) else None
    sender = await _find_sender(session, submitter, wanted.vault)
    simulator = _build_pending_vault_simulator(session, submitter, wanted.vault, sender)
    made = Curing(
        purse=Purse(chain=session.reader, vault=wanted.vault, limit_of=wanted.limit_of),
        simulator=simulator,
        accounts=[one.listed for one in wanted.account],
        terms=Terms(
            max_gas=wanted.max_gas,
            holds_seconds=wanted.holds_hours * HOUR_SECONDS,
            deadline_seconds=policy.deadline_seconds,
            tolerance_bps=cure_tolerance(policy.tolerance_bps),
        ),
        fees=await fee_oracle(session),
        cured=None
        if live is None or journal is None
        else partial(_has_cure, journal.database, wanted.vault),
        emit=emit,
        learned=learned,
    )
    if live is not None:
        made.take_up(
            [plan for one in live.tracker.bound() if one.batch for plan in one.batch.plans]
        )
    return made


async def clearing_of(session: Session, submitter: Submitter, emit: Emit) -> Clearing | None:
    """Build the planner of clearings. None if the settings disable it.

    Raises:
        EnvironmentFault: there is no vault at the address, or the hot key is not its
            operator.
    """
    wanted = session.settings.cure
    if wanted.vault is None or not wanted.clear:
        return None
    sender = await _find_sender(session, submitter, wanted.vault)
    simulator = _build_pending_vault_simulator(session, submitter, wanted.vault, sender)
    return Clearing(
        purse=Purse(chain=session.reader, vault=wanted.vault),
        simulator=simulator,
        fees=await fee_oracle(session),
        valuer=await session.coin(),
        deadline_seconds=session.settings.policy.deadline_seconds,
        emit=emit,
    )


async def _find_sender(session: Session, submitter: Submitter, vault: Address) -> Address | None:
    """Return the vault's sender, checked to be an operator. None in observe mode."""
    sender = submitter.signer.address if isinstance(submitter, NodeSubmitter) else None
    if isinstance(submitter, PaperSubmitter):
        sender = await somebody(session, vault)
    if sender is not None:
        await _check_vault(session, vault, sender, await session.reader.head())
    return sender


def vault_calls(settings: Settings) -> frozenset[tuple[Address, bytes]]:
    """List the vault's functions that the signer may sign, each if enabled."""
    cure = settings.cure
    if cure.vault is None:
        return frozenset()
    wanted = ((CURE_SIGNATURE, bool(cure.account)), (CLEAR_SIGNATURE, cure.clear))
    return frozenset((cure.vault, selector(name)) for name, on in wanted if on)


def vault_runs(session: Session, sender: Address) -> dict[Address, Runs]:
    """Build the simulator of the vault's cures, by its address."""
    vault = session.settings.cure.vault
    return {} if vault is None else {vault: _build_vault_simulator(session, vault, sender)}


def repeating_runs(
    session: Session, sender: Address, executors: Mapping[Address, Runs]
) -> tuple[PendingRun, Repeats]:
    """Build the simulators of pending nonces in order, and of single batches."""
    runs = {**executors, **vault_runs(session, sender)}
    landing = LandingRun(
        chain=session.reader, sender=sender, block_seconds=block_seconds(session.settings)
    )
    pending = PendingRun(landing=landing, alone=runs, vault=session.settings.cure.vault)
    return pending, Repeats(simulators=runs)


def _build_vault_simulator(
    session: Session,
    vault: Address,
    sender: Address,
    waiting: Callable[[], Sequence[Submission]] = tuple,
) -> VaultSimulator:
    return VaultSimulator(
        chain=session.reader,
        vault=vault,
        operator=sender,
        block_seconds=block_seconds(session.settings),
        waiting=waiting,
    )


def _build_pending_vault_simulator(
    session: Session, submitter: Submitter, vault: Address, sender: Address | None
) -> VaultSimulator | None:
    """Build the vault's simulator after pending transactions. None without a sender."""
    if sender is None:
        return None
    if isinstance(submitter, NodeSubmitter):
        return _build_vault_simulator(
            session, vault, sender, partial(acting_nonces, submitter.tracker)
        )
    return _build_vault_simulator(session, vault, sender)


async def somebody(session: Session, contract: Address, head: Head | None = None) -> Address:
    """Return the configured key's account, or another operator of an executor or a vault."""
    reader, head = session.reader, head or await session.reader.head()
    own = hot_address(session.settings)
    if own is not None and await is_operator(reader, contract, own, head):
        return own
    since = min(one.from_block for one in session.markets)
    return await an_operator(reader, contract, since, head)


async def _has_cure(journal: Database, vault: Address, subject: Subject, episode: int) -> bool:
    return await journal.write(was_cured, vault, subject, episode)


async def _check_vault(session: Session, vault: Address, sender: Address, head: Head) -> None:
    if not await session.reader.code(vault, Basis(block_hash=head.hash)):
        raise EnvironmentFault(f"cure.vault {vault} has no code", hint="keeper vault deploy")
    if not await is_operator(session.reader, vault, sender, head):
        raise EnvironmentFault(
            f"the vault {vault} does not take {sender} as an operator",
            hint="its owner must call setOperator; check with `keeper vault check`",
        )
