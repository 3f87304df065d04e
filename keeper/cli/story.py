"""An account's explanation at one block, as data and as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keeper.audit.chain import Entry
from keeper.cli import past
from keeper.cli.reasons import in_words
from keeper.cli.words import decimal, ether, health_text, tier_text
from keeper.domain.account import AccountHealth, Balance
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.head import Head
from keeper.domain.plan import Plan
from keeper.domain.units import Address, MarketKey, TokenUnits
from keeper.observe.events import decision_event
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import Thresholds, tier_of
from keeper.storage.decisions import DECISION, StoredDecision, decisions_among


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision with the venue's quote.

    ``quoted`` is the quoter's proceeds of selling the whole amount received, in the spend token.
    None without a sale.
    """

    decision: Decision
    quoted: TokenUnits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Explanation of an account in one market at one block.

    ``verdicts`` are the node's decisions at this block, ``past`` the account's recorded tiers,
    calls, decisions and outcomes up to the block. ``policy`` states the basis of the policy's waits
    in these verdicts, or that the policy is left out. It is empty without a policy.
    """

    head: Head
    snapshot: MarketSnapshot
    account: Address
    health: AccountHealth | None
    verdicts: Sequence[Verdict]
    past: Sequence[Entry]
    thresholds: Thresholds
    policy: str = ""
    is_policy_left_out: bool = False

    @property
    def concerns(self) -> bool:
        """Whether the account has, or had, a position in the market."""
        return self.health is not None or bool(self.verdicts) or bool(self.past)

    @property
    def base_digits(self) -> int:
        """Decimals of the market's base currency."""
        return len(str(self.snapshot.base_unit)) - 1

    @property
    def but(self) -> str:
        """The part that the verdict leaves out, as text. Empty if it is complete."""
        return ", but for the policy's waiting" if self.is_policy_left_out else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """Recorded history of an account in a market without a reproducible decision."""

    market: MarketKey
    account: Address
    past: Sequence[Entry]

    @property
    def why(self) -> str:
        """The reason why no decision can be reproduced."""
        if any(one.kind == DECISION for one in self.past):
            return "what its decision was made of is not on record"
        return "nothing was decided about it"


def document(story: Story | Undecided) -> dict[str, object]:
    """Return the explanation as JSON. Amounts are decimal strings."""
    if isinstance(story, Undecided):
        return {
            "market": story.market,
            "account": story.account,
            "decisions": [],
            "recorded": [],
            "history": [past.document(one) for one in story.past],
        }
    health = story.health
    collateral, debts = story.snapshot.balances(story.account) if health else ((), ())
    return {
        "block": {"number": story.head.number, "hash": story.head.hash},
        "market": story.snapshot.market,
        "account": story.account,
        "has_debt": health is not None,
        "health_factor": str(health.health_factor) if health else None,
        "liquidatable": bool(health and health.liquidatable),
        "tier": str(tier_of(health, story.thresholds)) if health else None,
        "collateral": [_build_balance(one) for one in collateral],
        "debt": [_build_balance(one) for one in debts],
        "policy": story.policy if story.verdicts else "",
        "decisions": [_build_decision(one, story.head) for one in story.verdicts],
        "recorded": [_build_recorded(one) for one in decisions_among(story.past)],
        "history": [past.document(one) for one in story.past],
    }


def told(stories: Sequence[Story | Undecided]) -> Iterator[str]:
    """Yield an account's explanations as text. Markets without a position share one line."""
    strange = [one for one in stories if isinstance(one, Story) and not one.concerns]
    for one in stories:
        if one not in strange:
            yield from lines(one)
    if strange:
        first = strange[0]
        where = "any of the" if len(strange) == len(stories) else "the other"
        count = f"{where} {len(strange)} markets" if len(stories) > 1 else first.snapshot.market
        yield (
            f"{first.account} owes nothing in {count} at block {first.head.number}, and nothing"
            " is on record of it there"
        )


def lines(story: Story | Undecided) -> Iterator[str]:
    """Yield the story in plain words."""
    if isinstance(story, Undecided):
        yield f"{story.account} in {story.market}: {story.why}"
        yield "  what is on record:"
        yield from past.lines(story.past)
        yield ""
        return
    yield f"{story.account} in {story.snapshot.market}, at block {story.head.number}"
    if story.health is None:
        yield "  owes nothing here, so there is nothing to liquidate"
    else:
        yield from _format_state(story, story.health)
    for one in story.verdicts:
        yield from _format_verdict(one, story)
    if story.policy and story.verdicts:
        yield f"    {story.policy}"
    if story.past:
        yield "  what is on record:"
        yield from past.lines(story.past, story.snapshot.prices)
    yield ""


def _build_recorded(one: StoredDecision) -> dict[str, object]:
    return {
        "entry": one.entry,
        "block_number": one.block_number,
        "action": one.action,
        "reason": one.reason,
        "detail": one.detail,
        "net_profit_wei": None if one.net_profit is None else str(one.net_profit),
        "health_factor": None if one.health_factor is None else str(one.health_factor),
    }


def _format_state(story: Story, health: AccountHealth) -> Iterator[str]:
    tier = tier_text(tier_of(health, story.thresholds)).plain
    if health.unpriced:
        yield f"  {tier}: its health is not known: {health.unpriced}"
        return
    yield f"  health {health_text(health.health_factor)}  {tier}"
    collateral, debts = story.snapshot.balances(story.account)
    for name, balances in (("collateral", collateral), ("debt", debts)):
        for one in balances:
            amount, worth = decimal(one.amount, one.decimals), decimal(one.value, story.base_digits)
            yield f"  {name}: {amount} {one.symbol}, worth {worth}"
    if not health.liquidatable:
        yield "  it is not liquidatable: by the protocol's own rule it is healthy"


def _format_verdict(verdict: Verdict, story: Story) -> Iterator[str]:
    decision = verdict.decision
    if isinstance(decision, Liquidate):
        yield f"  verdict{story.but}: liquidate"
        yield from _format_plan(decision.plan, story)
        if verdict.quoted is not None:
            spend = story.snapshot.prices[decision.plan.spend_token]
            quoted = decimal(verdict.quoted, spend.decimals)
            yield f"    the venue's own quoter: all of it sells for {quoted} {spend.symbol}"
        for number, plan in enumerate(decision.further, 2):
            yield (
                f"    round {number}, in the same transaction, with health"
                f" {health_text(plan.health_factor)} by then:"
            )
            yield from _format_plan(plan, story)
        return
    netted = (
        "" if decision.net_profit is None else f"; it would net {ether(decision.net_profit)} ETH"
    )
    yield f"  verdict: leave it alone, {decision.reason}: {in_words(decision.reason)}{netted}"
    if decision.detail:
        yield f"    {decision.detail}"


def _format_plan(plan: Plan, story: Story) -> Iterator[str]:
    prices = story.snapshot.prices
    spend, receive = prices[plan.spend_token], prices[plan.receive_token]
    yield (
        f"    repay {decimal(plan.spend, spend.decimals)} {spend.symbol},"
        f" receive {decimal(plan.receive, receive.decimals)} {receive.symbol}"
    )
    yield f"    sold through {_format_route(plan, story)}; paid for by {plan.funding.name}"
    yield (
        f"    earns {decimal(plan.gross_profit, spend.decimals)} {spend.symbol}"
        f" = {ether(plan.gross_profit_wei)} ETH, gas {plan.gas} at {plan.gas_price} wei,"
        f" net {ether(plan.net_profit)} ETH"
    )
    if plan.bad_debt:
        written_off = decimal(plan.bad_debt, spend.decimals)
        yield f"    the protocol writes off {written_off} {spend.symbol} of the debt with it"
    for other in plan.alternatives:
        yield f"    instead of: {other}"


def _format_route(plan: Plan, story: Story) -> str:
    if not plan.route.hops:
        return "nothing: both tokens are the same"
    names = {token: price.symbol for token, price in story.snapshot.prices.items()}
    way = names.get(plan.receive_token, plan.receive_token)
    for hop in plan.route.hops:
        way += f" -{decimal(hop.fee, 4)}%-> {names.get(hop.token_out, hop.token_out)}"
    return way


def _build_balance(one: Balance) -> dict[str, object]:
    return {
        "token": one.token,
        "symbol": one.symbol,
        "amount": str(one.amount),
        "value_base": str(one.value),
    }


def _build_decision(verdict: Verdict, head: Head) -> dict[str, object]:
    one = verdict.decision
    told = decision_event(one, head)
    if isinstance(one, Liquidate):
        return told | {
            "gas": str(one.plan.gas),
            "gas_price_wei": str(one.plan.gas_price),
            "gross_profit_wei": str(one.plan.gross_profit_wei),
            "quoted": None if verdict.quoted is None else str(verdict.quoted),
            "alternatives": list(one.plan.alternatives),
        }
    return told | {"words": in_words(one.reason)}
