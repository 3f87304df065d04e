"""Frozen facts there and back: the same text for the same facts, and the same facts from it."""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.audit.canonical import Part, canonical, plain, references, resolved, restored, sha256
from keeper.domain.plan import Plan
from keeper.domain.units import Address, Wei
from tests.support.scripted_submission import plan


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Leaf:
    amount: Wei
    raw: bytes
    yes: bool
    maybe: int | None = None


@dataclass(frozen=True)
class Tree:
    name: str
    leaves: tuple[Leaf, ...]
    colour: Colour
    by_number: Mapping[int, Leaf]
    by_pair: Mapping[tuple[Address, Address], tuple[int, int]]
    tags: frozenset[str] = field(default_factory=frozenset)


LEAVES = st.builds(
    Leaf,
    amount=st.integers(-(2**256), 2**256),
    raw=st.binary(max_size=8),
    yes=st.booleans(),
    maybe=st.none() | st.integers(),
)
TREES = st.builds(
    Tree,
    name=st.text(),
    leaves=st.lists(LEAVES, max_size=3).map(tuple),
    colour=st.sampled_from(Colour),
    by_number=st.dictionaries(st.integers(), LEAVES, max_size=3),
    by_pair=st.dictionaries(
        st.tuples(st.text(), st.text()), st.tuples(st.integers(), st.integers()), max_size=3
    ),
    tags=st.frozensets(st.text(), max_size=3),
)


@pytest.mark.slow
@given(TREES)
def test_whatever_is_written_comes_back(tree):
    """Every kind of field that a snapshot is made of, numbers beyond any database's."""
    assert restored(Tree, json.loads(canonical(tree))) == tree


@pytest.mark.slow
@given(TREES)
def test_the_text_does_not_depend_on_the_order_in_which_it_was_made(tree):
    """A mapping made the other way round is the same fact, and must have the same hash."""
    turned = Tree(
        **{
            **{name: getattr(tree, name) for name in ("name", "leaves", "colour", "tags")},
            "by_number": dict(reversed(tree.by_number.items())),
            "by_pair": dict(reversed(tree.by_pair.items())),
        }
    )

    assert canonical(turned) == canonical(tree)


@pytest.mark.slow
@given(TREES, st.text())
def test_parts_are_stored_apart_and_put_back(tree, other):
    """A part is a reference to its text, nested or not; the whole is the same afterwards."""
    texts = {}
    document = plain({"tree": Part({"inner": Part(tree)}), "other": other}, texts)

    assert len(texts) == 2
    assert references(canonical(document)) | references("".join(texts.values())) == texts.keys()
    assert all(sha256(text) == name for name, text in texts.items())
    assert resolved(document, texts) == plain({"tree": {"inner": tree}, "other": other})


def test_no_string_passes_for_a_reference():
    """A token's symbol is anybody's: it must not send the reader after a text."""
    nasty = '{"sha256":"' + "0" * 64 + '"}'

    document = plain({"symbol": nasty})

    assert references(canonical(document)) == frozenset()
    assert resolved(document, {}) == document


@pytest.mark.parametrize("value", [1.5, {"a": [2.0]}, object()])
def test_what_is_not_exact_has_no_form(value):
    """A float on record would be rounded differently by somebody."""
    with pytest.raises(TypeError, match="no canonical form"):
        canonical(value)


@pytest.mark.parametrize(
    "document", [{"amount": 1.0}, {"amount": "x"}, {"amount": "1", "more": "2"}, [], "text"]
)
def test_what_is_no_such_value_is_refused(document):
    """A record that was tampered with is told from a bug."""
    with pytest.raises(ValueError, match=r"Leaf|invalid literal"):
        restored(Leaf, document)


def test_a_plan_comes_back_exactly():
    """The largest of the domain's facts, optional parts included."""
    big = plan(3, amount=2**256 - 1, alternatives=("a: b", "c"))

    assert restored(Plan, json.loads(canonical(big))) == big
