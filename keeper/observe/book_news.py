"""What a book has found since it was asked last, as events."""

from keeper.abilities import ReportsParity, ReportsRebuilds
from keeper.domain.head import Head
from keeper.observe.events import Event, parity_event, trouble_event


def book_news(book: object, head: Head) -> list[Event]:
    """Return who began to differ from the contracts or agrees again, and what was read anew."""
    found = list[Event]()
    if isinstance(book, ReportsParity):
        found += [parity_event(news, head) for news in book.parity_news()]
    if isinstance(book, ReportsRebuilds):
        found += [
            trouble_event("rebuilt", market, reason, head) for market, reason in book.rebuild_news()
        ]
    return found
