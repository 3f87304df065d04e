"""Events of a book since the last query."""

from keeper.abilities import ReportsParity, ReportsRebuilds
from keeper.coverage import ReportsCoverage
from keeper.domain.head import Head
from keeper.observe.events import Event, coverage_event, parity_event, stretch_event, trouble_event


def book_news(book: object, head: Head) -> list[Event]:
    """Collect events of differing accounts, rebuilt markets, and changed coverage."""
    found = list[Event]()
    if isinstance(book, ReportsParity):
        found += [parity_event(news, head) for news in book.parity_news()]
    if isinstance(book, ReportsRebuilds):
        found += [
            trouble_event("rebuilt", market, reason, head) for market, reason in book.rebuild_news()
        ]
    if isinstance(book, ReportsCoverage):
        found += [coverage_event(news, head) for news in book.coverage_news()]
        found += [stretch_event(news, head) for news in book.stretch_news()]
    return found
