"""Recorded block rebuilt with its markets and all external inputs."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keeper.audit.basis import only_of
from keeper.audit.canonical import canonical, restored, sha256
from keeper.audit.inputs import VERSION, Native, StoredInputs, StoredSimulation
from keeper.book.parity import Guarded
from keeper.domain.curve import Route
from keeper.domain.decision import Decision
from keeper.domain.errors import RpcRefused
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import Window
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Batch, DataFee, Plan, SimulatedBatch
from keeper.domain.restraint import Restraint
from keeper.domain.units import Address, Gas, MarketKey, Timestamp, TokenUnits, Wei
from keeper.domain.value import Valuation
from keeper.execution.simulator import ExecutorSimulator
from keeper.forms import Forms, MarketForm, VenueForm
from keeper.pipeline import Planner, decided
from keeper.ports import MarketSnapshot
from keeper.stages.choosing import Everybody, Recorded

_FIELDS: Final = frozenset(one.name for one in dataclasses.fields(StoredInputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Differing figure by its place, as recorded and as replayed."""

    field: str
    recorded: str
    replayed: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """Recorded block. ``complaints`` grow if the replay requests something else."""

    stored: StoredInputs
    snapshots: Sequence[MarketSnapshot]
    subjects: frozenset[Subject]
    exits: Sequence[tuple[str, Exits | None]]
    later: Sequence[tuple[int, Sequence[tuple[str, Exits | None]]]] = ()
    complaints: list[Difference] = field(default_factory=list)

    @classmethod
    def of(cls, document: Mapping[str, Any], forms: Forms) -> "Stage":
        """Rebuild the block of a document. ValueError, KeyError or TypeError if it is invalid."""
        if document["version"] != VERSION:
            raise ValueError(f"inputs of version {document['version']}, not {VERSION}")
        stored = restored(
            StoredInputs, {name: document[name] for name in _FIELDS if name in document}
        )
        accounts: dict[str, dict[Address, object]] = {}
        for market, account, facts in document["accounts"]:
            if facts is not None:
                accounts.setdefault(market, {})[Address(account)] = facts
        snapshots = [
            _get_market_codec(forms, market).snapshot_of(
                stored.head, facts, accounts.get(market, {})
            )
            for market, facts in document["markets"]
        ]
        return cls(
            stored=stored,
            snapshots=[_exclude_doubted(one, stored) for one in snapshots],
            subjects=frozenset((market, account) for market, account, _ in document["accounts"]),
            exits=_decode_venue_answers(document["venues"], forms),
            later=[
                (int(portion), _decode_venue_answers(answers, forms))
                for portion, answers in document.get("later_venues", ())
            ],
        )

    async def decided(self) -> dict[tuple[str | None, str | None], Decision]:
        """Plan again like the running keeper, and return the decisions by subject."""
        stored, left = self.stored, list(self.stored.simulations)
        simulators = {
            number: _ReplayedSimulator(number, left, self)
            for number in sorted(set(stored.executors.values()))
        }
        chooser = None if stored.portions is None else Recorded(portions=stored.portions)
        planner = Planner(
            venues=[
                _ReplayedVenue(kind, exits, chooser, self._list_later(place))
                for place, (kind, exits) in enumerate(self.exits)
            ],
            simulators={key: simulators[number] for key, number in stored.executors.items()},
            fees=_ReplayedFees(stored)
            if stored.data_fees is None
            else _ReplayedChargingFees(stored, self),
            valuer=_ReplayedValuer(stored.native),
            policy=stored.policy,
            gas_model=stored.gas_model,
            deadline_seconds=stored.deadline_seconds,
            next_timestamp=self._get_next_timestamp,
            waiting=self,
            chooser=chooser or Everybody(),
        )
        result = await decided(
            planner,
            stored.head,
            self.snapshots,
            frozenset(stored.in_flight),
            restraint=self._recalculate_restraint(),
        )
        if left:
            self.complain("simulations", str(len(stored.simulations)), f"{len(left)} fewer")
        return {(one.market, one.account): one for one in result.decisions}

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:  # noqa: ARG002 (the port's)
        """Return the sales that were pending then."""
        return self.stored.pending

    def _list_later(self, place: int) -> list[tuple[int, Exits | None]]:
        """List a venue's answers for later portions, the newest first."""
        return [(portion, answers[place][1]) for portion, answers in reversed(self.later)]

    def _recalculate_restraint(self) -> Restraint:
        """Return the policy's holds, recomputed if a policy is recorded."""
        stored = self.stored
        if stored.basis is None:
            return stored.restraint
        policy = only_of(stored.basis.restraint, self.subjects)
        waits = {**stored.waits_besides, **policy.waits}
        mine = dataclasses.replace(policy, waits=dict(sorted(waits.items())))
        for one in dataclasses.fields(Restraint):
            recorded, found = (getattr(each, one.name) for each in (stored.restraint, mine))
            if recorded != found:
                self.complain(f"restraint.{one.name}", canonical(recorded), canonical(found))
        return mine

    def complain(self, where: str, recorded: str, mine: str) -> None:
        """Note a request that differs from the record."""
        self.complaints.append(Difference(field=where, recorded=recorded, replayed=mine))

    async def _get_next_timestamp(self, head: Head) -> Timestamp:
        return self.stored.next_timestamp or Timestamp(head.timestamp + 1)


def _exclude_doubted(snapshot: MarketSnapshot, stored: StoredInputs) -> MarketSnapshot:
    """Return the snapshot without the accounts that differed from the contracts then."""
    found = {
        who: text for (market, who), text in stored.doubts.items() if market == snapshot.market
    }
    return Guarded.by_words(snapshot, found) if found else snapshot


def _get_market_codec(forms: Forms, market: str) -> MarketForm:
    found = forms.market(market.partition(":")[0])
    if found is None:
        raise ValueError(f"this program has no form for {market}")
    return found


def _get_venue_codec(forms: Forms, kind: str) -> VenueForm:
    found = forms.venue(kind)
    if found is None:
        raise ValueError(f"this program has no form for the venue {kind}")
    return found


def _decode_venue_answers(
    documents: Sequence[Mapping[str, Any]], forms: Forms
) -> list[tuple[str, Exits | None]]:
    return [
        (one["kind"], _decode_exits(one["exits"], _get_venue_codec(forms, one["kind"])))
        for one in documents
    ]


def _decode_exits(document: Mapping[str, Any] | None, venue: VenueForm) -> Exits | None:
    if document is None:
        return None
    return Exits(
        routes=restored(dict[Pair, tuple[Route, ...]], document["routes"]),
        curves={Address(pool): venue.curve_of(one) for pool, one in document["curves"].items()},
        lenders={
            Address(token): tuple(venue.lender_of(one) for one in lenders)
            for token, lenders in document["lenders"].items()
        },
        factories=restored(dict[Address, Address], document["factories"]),
    )


@dataclass(frozen=True)
class _ReplayedFees:
    """Recorded gas price.

    A price that was fetched counts for all accounts, although another account's bonus may have
    caused the fetch. All accounts checked closely were valued with it.
    """

    stored: StoredInputs

    def floor(self, head: Head) -> Wei:  # noqa: ARG002 (the port's)
        return self.stored.gas_floor or Wei(0)

    def unasked(self, head: Head) -> Wei:
        known = self.stored.gas_price
        return self.floor(head) if known is None else known

    async def gas_price(self, head: Head) -> Wei:
        return self.unasked(head)


@dataclass(frozen=True)
class _ReplayedChargingFees(_ReplayedFees):
    """Recorded fees with data fees, in the order of requests."""

    stage: Stage
    asked: list[int] = field(default_factory=list)

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:  # noqa: ARG002 (the port's)
        known = self.stored.data_fees or ()
        at = len(self.asked)
        self.asked.append(at)
        if at < len(known) and len(known[at]) == len(batches):
            return known[at]
        recorded = str(len(known[at])) if at < len(known) else "none"
        self.stage.complain(f"data_fees.{at}", recorded, str(len(batches)))
        return [DataFee() for _ in batches]


@dataclass(frozen=True, slots=True)
class _ReplayedValuer:
    native: Mapping[MarketKey, Native | None]

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        known = self.native.get(snapshot.market)
        if known is None:
            return None
        return Valuation(
            prices=snapshot.prices,
            base_unit=snapshot.base_unit,
            native_price=known.native_price,
            usd_per_base=known.usd_per_base,
        )


@dataclass(frozen=True, slots=True)
class _ReplayedVenue:
    kind: str
    answer: Exits | None
    chooser: Recorded | None
    later: Sequence[tuple[int, Exits | None]]

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:  # noqa: ARG002 (the port's)
        portion = 0 if self.chooser is None else max(self.chooser.numbers, default=0)
        asked_again = (answer for number, answer in self.later if number <= portion)
        answer = next(asked_again, self.answer)
        if answer is None:
            raise RpcRefused("the venue did not answer then")
        return answer

    async def wrapped_native(self) -> Address:
        raise RpcRefused("not on record")

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:  # noqa: ARG002 (the port's)
        raise RpcRefused("not on record")


@dataclass(frozen=True, slots=True)
class _ReplayedSimulator:
    """Executor that builds the same transactions and returns the recorded results."""

    number: int
    left: list[StoredSimulation]
    stage: Stage

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        known = (one for one in self.stage.stored.simulations if one.executor == self.number)
        simulation = next(known, None)
        maker = ExecutorSimulator(
            _NoChain(),
            executor=Address("") if simulation is None else simulation.address,
            operator=Address(""),
            step_gas=lambda plan: plan.step_gas,
            builder_share_bps=self.stage.stored.policy.builder_share_bps,
        )
        return maker.batch(plans, net_profit=net_profit, gas_limit=gas_limit)

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:  # noqa: ARG002 (the port's)
        at = len(self.stage.stored.simulations) - len(self.left)
        known = self.left.pop(0) if self.left else None
        if known is None or len(known.batches) != len(batches):
            recorded = 0 if known is None else len(known.batches)
            self.stage.complain(f"simulation.{at}", f"{recorded} transactions", f"{len(batches)}")
            unknown = SimulatedBatch(plans=(), gas_used=Gas(0), failure="not on record")
            return [unknown for _ in batches]
        for place, (batch, one) in enumerate(zip(batches, known.batches, strict=True)):
            mine = sha256(batch.calldata.hex())
            where = f"simulation.{at}.{place}"
            if mine != one.calldata_sha256:
                self.stage.complain(f"{where}.calldata", one.calldata_sha256, mine)
            if batch.gas_limit != one.gas_limit:
                self.stage.complain(f"{where}.gas_limit", str(one.gas_limit), str(batch.gas_limit))
        return [one.answer for one in known.batches]


class _NoChain:
    """Chain without reads, since a replay reads nothing."""

    async def simulate_v1(self, payload: Mapping[str, object], basis: Basis) -> list[Any]:  # noqa: ARG002
        raise RpcRefused("not on record")

    async def call(self, *_: object, **__: object) -> bytes:
        raise RpcRefused("not on record")

    async def estimate_gas(self, transaction: Mapping[str, object], basis: Basis) -> Gas:  # noqa: ARG002
        raise RpcRefused("not on record")
