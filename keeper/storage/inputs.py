"""Documents of a block's decision inputs for the record."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from keeper.abilities import HasDoubts
from keeper.audit.basis import Basis, only_of
from keeper.audit.canonical import Part, sha256
from keeper.audit.inputs import (
    VERSION,
    Inputs,
    Program,
    Simulation,
    StoredBatch,
    StoredInputs,
    StoredSimulation,
    VenueAnswer,
    trimmed,
)
from keeper.domain.exits import Exits
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.restraint import FREE, Wait
from keeper.domain.units import Address, MarketKey
from keeper.forms import Forms, MarketForm, VenueForm
from keeper.ports import Given, MarketSnapshot
from keeper.strategy.portions import Portion


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Encoder of decision inputs.

    ``forms`` are the adapters' own codecs.
    """

    program: Program
    forms: Forms

    def document(self, head: Head, given: Given, news: Iterable[Subject]) -> object | None:
        """Build the document of the decision inputs about ``news``, reduced to those that matter.

        None where a market or a venue has no codec.
        """
        inputs = given.inputs
        if inputs is None:
            return None
        kept = frozenset(news) | inputs.planned
        own = {one.market: one for one in given.snapshots}
        if not kept or not all(
            self._find_market_codec(market) and market in own for market, _ in kept
        ):
            return None
        legs = _collect_tokens(own, kept)
        tokens = tuple(dict.fromkeys((*legs.all, *_list_sold_tokens(inputs.pending))))
        venues = self._encode_venues(inputs.venues, tokens)
        later = [(one.portion, self._encode_venues(one.venues, tokens)) for one in inputs.later]
        markets = _select_markets(given.snapshots, kept, legs.debts)
        answers = [*venues, *(answer for _, asked_again in later for answer in asked_again)]
        if None in answers or not all(self._find_market_codec(one.market) for one in markets):
            return None
        stored = self._build_stored_inputs(head, inputs, kept, _collect_doubts(markets, kept))
        fields = {one.name: getattr(stored, one.name) for one in dataclasses.fields(stored)}
        program, policy = Part(stored.program), Part(stored.policy)
        return {
            **fields,
            "program": program,
            "policy": policy,
            "gas_model": Part(stored.gas_model),
            "basis": None if stored.basis is None else stored.basis.document(),
            "markets": self._encode_markets(markets),
            "accounts": self._encode_accounts(own, kept),
            "venues": venues,
            "later_venues": later,
        }

    def _find_market_codec(self, market: MarketKey) -> MarketForm | None:
        return self.forms.market(market.partition(":")[0])

    def _encode_markets(self, markets: Sequence[MarketSnapshot]) -> list[object]:
        forms = [(one, self._find_market_codec(one.market)) for one in markets]
        return [[one.market, Part(form.market_facts(one))] for one, form in forms if form]

    def _encode_accounts(
        self, own: Mapping[MarketKey, MarketSnapshot], kept: frozenset[Subject]
    ) -> list[object]:
        forms = [
            (market, account, self._find_market_codec(market)) for market, account in sorted(kept)
        ]
        return [
            [market, account, Part(form.account_facts(own[market], account))]
            for market, account, form in forms
            if form
        ]

    def _build_stored_inputs(
        self,
        head: Head,
        inputs: Inputs,
        kept: frozenset[Subject],
        doubts: Mapping[Subject, str],
    ) -> StoredInputs:
        return StoredInputs(
            version=VERSION,
            head=head,
            program=self.program,
            policy=inputs.policy,
            gas_model=inputs.gas_model,
            deadline_seconds=inputs.deadline_seconds,
            in_flight=tuple(sorted(inputs.in_flight & kept)),
            restraint=only_of(inputs.restraint, kept),
            basis=_reduce_basis(inputs.basis, kept),
            waits_besides=_list_other_waits(inputs, kept),
            doubts=doubts,
            executors=inputs.executors,
            next_timestamp=inputs.next_timestamp,
            gas_floor=inputs.gas_floor,
            gas_price=inputs.gas_price,
            data_fees=None if inputs.data_fees is None else tuple(inputs.data_fees),
            native={market: inputs.native.get(market) for market in sorted({m for m, _ in kept})},
            simulations=tuple(_build_stored_simulation(one) for one in inputs.simulations),
            pending=inputs.pending,
            portions=tuple(_select_portion(portion, kept) for portion in inputs.portions),
        )

    def _encode_venues(
        self, answers: Mapping[int, VenueAnswer], tokens: Sequence[Address]
    ) -> list[object | None]:
        return [self._encode_venue(answers[number], tokens) for number in sorted(answers)]

    def _encode_venue(self, answer: VenueAnswer, tokens: Sequence[Address]) -> object | None:
        """Encode a venue's answer about these tokens, None where its kind has no codec."""
        if answer.exits is None:
            return {"kind": answer.kind, "exits": None}
        form = self.forms.venue(answer.kind)
        return form and {
            "kind": answer.kind,
            "exits": _encode_exits(trimmed(answer.exits, tokens), form),
        }


def _list_sold_tokens(pending: Sequence[PendingSale]) -> list[Address]:
    """Return the tokens on the routes of pending sales, since their pools affect the rest."""
    return [
        token
        for one in pending
        for hop in one.route.hops
        for token in (hop.token_in, hop.token_out)
    ]


def _reduce_basis(basis: Basis | None, kept: frozenset[Subject]) -> Basis | None:
    """Return the inputs of the policy's restraint, None where the policy never waits."""
    if basis is None or not (basis.settings.waits or basis.restraint != FREE):
        return None
    return basis.only(kept)


def _list_other_waits(inputs: Inputs, kept: frozenset[Subject]) -> dict[Subject, Wait]:
    """Return the waits that do not come from the policy."""
    policy = {} if inputs.basis is None else inputs.basis.restraint.waits
    every = only_of(inputs.restraint, kept).waits
    return {one: wait for one, wait in every.items() if policy.get(one) != wait}


def _encode_exits(exits: Exits, form: VenueForm) -> object:
    return {
        "routes": exits.routes,
        "curves": {pool: Part(form.curve_facts(one)) for pool, one in exits.curves.items()},
        "lenders": {
            token: [form.lender_facts(one) for one in lenders]
            for token, lenders in exits.lenders.items()
        },
        "factories": exits.factories,
    }


def _select_portion(portion: Portion, kept: frozenset[Subject]) -> Portion:
    subjects = tuple(subject for subject in portion.subjects if subject in kept)
    return dataclasses.replace(portion, subjects=subjects)


def _build_stored_simulation(one: Simulation) -> StoredSimulation:
    pairs = zip(one.batches, one.answers, strict=True)
    return StoredSimulation(
        executor=one.executor,
        address=one.batches[0].executor if one.batches else Address(""),
        batches=tuple(
            StoredBatch(
                calldata_sha256=sha256(batch.calldata.hex()),
                gas_limit=batch.gas_limit,
                answer=answer,
            )
            for batch, answer in pairs
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenUse:
    """The tokens that the recorded accounts hold or owe, and those that they owe."""

    all: tuple[Address, ...]
    debts: tuple[Address, ...]


def _collect_tokens(own: Mapping[MarketKey, MarketSnapshot], kept: frozenset[Subject]) -> _TokenUse:
    every, debts = dict[Address, None](), dict[Address, None]()
    for market, account in sorted(kept):
        collateral, owed = own[market].balances(account)
        debts.update(dict.fromkeys(one.token for one in owed))
        every.update(dict.fromkeys(one.token for one in (*collateral, *owed)))
    return _TokenUse(all=tuple(every), debts=tuple(debts))


def _select_markets(
    snapshots: Sequence[MarketSnapshot], kept: frozenset[Subject], debts: Sequence[Address]
) -> list[MarketSnapshot]:
    """Select the markets of the recorded accounts and of lenders of their debts, in order."""
    concerned = {market for market, _ in kept}
    known: list[object] = []
    found: list[MarketSnapshot] = []
    for snapshot in snapshots:
        lenders = [one for token in debts for one in snapshot.flash_lenders(token)[0]]
        fresh = [one for one in lenders if one not in known]
        if snapshot.market in concerned or fresh:
            found.append(snapshot)
            known += fresh
    return found


def _collect_doubts(
    markets: Sequence[MarketSnapshot], kept: frozenset[Subject]
) -> dict[Subject, str]:
    return {
        (one.market, account): detail
        for one in markets
        if isinstance(one, HasDoubts)
        for account, detail in one.doubts.items()
        if (one.market, account) in kept
    }
