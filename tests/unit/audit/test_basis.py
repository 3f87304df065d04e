"""What a policy's waiting was reckoned from, stored for some accounts, gives the same for these."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.audit.basis import Basis, only_of
from keeper.audit.canonical import canonical, plain, resolved, restored
from tests.unit.margin.story import COMPETITIVE_HERE, GUARDIAN_HERE, Story, second, subject

POLICIES = st.sampled_from([COMPETITIVE_HERE, GUARDIAN_HERE])
DEBTS = st.dictionaries(st.integers(1, 9), st.integers(1_000, 3_000), min_size=1, max_size=6)
PATHS = st.lists(st.integers(1_200, 3_500), min_size=1, max_size=8)


def stored(basis):
    """Through the texts of the record, and back."""
    texts = {}
    document = json.loads(canonical(plain(basis.document(), texts)))
    return restored(Basis, resolved(document, texts))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(POLICIES, DEBTS, PATHS, st.frozensets(st.integers(1, 9)), st.booleans())
def test_as_much_as_is_stored_gives_the_same_waits(policy, debts, path, chosen, deviates):
    """Waits, ranks and what of the budget was granted; the others' part in it counted in."""
    story = Story(debts, settings=policy, seconds=(second(2_000),) if deviates else ())
    for price in path:
        story.number += 1
        facts = story.facts(price)
        basis = Basis(settings=policy, state=story.state, facts=facts)
        kept = frozenset(subject(one) for one in chosen & debts.keys())

        again = stored(basis.only(kept))

        assert only_of(again.restraint, kept) == only_of(basis.restraint, kept)
        story.number -= 1
        story.block(price)


def test_whoever_does_not_matter_is_not_stored():
    """Ten accounts of whom one is asked about: the nine others are not in its basis."""
    story = Story(dict.fromkeys(range(1, 11), 2_100), settings=COMPETITIVE_HERE)
    story.number = 1
    basis = Basis(settings=COMPETITIVE_HERE, state=story.state, facts=story.facts(2_500))

    less = basis.only(frozenset({subject(1)}))

    assert set(less.facts.accounts) == {subject(1)}
