"""The documents lead where they say: links, headings and paths of the code."""

import re
from itertools import chain
from pathlib import Path

import pytest

from keeper.chain.standing import State
from keeper.domain.cure import ClearReason, CureReason
from keeper.domain.decision import SkipReason
from keeper.risk.tiers import Tier

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    chain(ROOT.glob("*.md"), (ROOT / "docs").glob("*.md"), (ROOT / "docs" / "adr").glob("*.md"))
)

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_CODE = re.compile(r"```.*?```", re.DOTALL)
_PATH = re.compile(r"`((?:keeper|tests|contracts|scripts|docs)/[a-z0-9_/.-]+)`")
"""A path in small letters; one with ``NAME`` in it is a pattern."""


def _anchors(document):
    """Return the anchors that a document's headings get."""
    text = _CODE.sub("", document.read_text())
    titles = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _links(document):
    """Return what a document links to: files, each with the anchor in it."""
    for target, anchor in _LINK.findall(_CODE.sub("", document.read_text())):
        yield (document.parent / target).resolve() if target else document, anchor


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document):
    """A page that was renamed, or a heading that was reworded, is found here."""
    for file, anchor in _links(document):
        assert file.exists(), file
        assert not anchor or anchor in _anchors(file), f"{file.name}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_of_the_code_exists(document):
    """A reader who follows a path must not end nowhere."""
    paths = _PATH.findall(_CODE.sub("", document.read_text()))

    assert [path for path in paths if not (ROOT / path.rstrip("/")).exists()] == []


def test_every_page_is_linked_from_another():
    """A page that nothing links to is never read."""
    linked = {file for document in DOCUMENTS for file, _ in _links(document) if file != document}

    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "adr").glob("*.md")]
    assert [page.name for page in pages if page not in linked] == []


@pytest.mark.parametrize("reason", [*SkipReason, *CureReason, *ClearReason])
def test_every_reason_for_skipping_an_account_is_explained(reason):
    """Whoever asks why an account was not liquidated looks it up there."""
    assert f"`{reason}`" in (ROOT / "docs" / "reasons.md").read_text()


@pytest.mark.parametrize("term", [*Tier, *State])
def test_every_tier_and_endpoint_state_is_in_the_glossary(term):
    """Messages and metrics use these words."""
    assert f"`{term}`" in (ROOT / "docs" / "glossary.md").read_text()
