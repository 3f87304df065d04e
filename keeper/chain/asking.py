"""Builds calls to contracts and decodes their results, including hostile ones. No I/O."""

from collections.abc import Iterator, Sequence

from keeper.chain.abi import address_at, calldata, decoded, word
from keeper.domain.errors import MarketUnreadable, RpcMalformed
from keeper.domain.names import harmless
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address

SYMBOL_SHOWN = 10


def ask(target: Address, signature: str, *values: object) -> Call:
    """Build the call of ``name(type,..)`` at a contract."""
    return Call(target=target, data=calldata(signature, *values))


class Answers:
    """Cursor over the results of a list of calls."""

    def __init__(self, results: Sequence[CallResult]) -> None:
        self._results: Iterator[CallResult] = iter(results)

    def next(self) -> CallResult:
        """Take the next result. MarketUnreadable if there are too few."""
        try:
            return next(self._results)
        except StopIteration:
            raise MarketUnreadable("fewer answers than questions") from None

    def data(self, what: str) -> bytes:
        """Take the next result's bytes. MarketUnreadable if it failed or is empty."""
        answer = self.next()
        if not answer.success or not answer.data:
            raise MarketUnreadable(f"{what} does not answer")
        return answer.data

    def words(self, count: int, what: str) -> tuple[int, ...]:
        """Take the next result's first words. MarketUnreadable if it has fewer, or failed."""
        answer = self.next()
        if not answer.success:
            raise MarketUnreadable(f"{what} does not answer")
        try:
            return tuple(word(answer.data, at) for at in range(count))
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers less than {count} numbers") from None

    def integer(self, what: str) -> int:
        """Take the next result's first word. MarketUnreadable if it failed."""
        data = self.data(what)
        try:
            return word(data, 0)
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers without a number") from None

    def maybe_integer(self, at: int = 0) -> int | None:
        """Take a word of the next result. None if it failed or is too short."""
        answer = self.next()
        try:
            return word(answer.data, at) if answer.success else None
        except RpcMalformed:
            return None

    def address(self, what: str) -> Address:
        """Take the next result's address. MarketUnreadable if it is none."""
        data = self.data(what)
        try:
            return address_at(data, 0)
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers without an address") from None

    def maybe_address(self) -> Address | None:
        """Take the next result's address. None if it failed, is none, or is zero."""
        answer = self.next()
        try:
            found = address_at(answer.data, 0) if answer.success else None
        except RpcMalformed:
            return None
        return found if found is not None and int(found, 16) else None


def symbol_of(answer: CallResult, token: Address) -> str:
    """Decode a token's symbol from text, from 32 bytes, or from its address.

    The token's creator chooses it, and messages, logs and tables show it, so it is sanitized.
    """
    text = ""
    if answer.success:
        try:
            text = str(decoded(("string",), answer.data)[0])
        except RpcMalformed:
            text = answer.data[:32].split(b"\0")[0].decode("utf-8", "ignore")
    printable = "".join(letter for letter in text if letter.isprintable()).strip()
    return harmless(printable[:32]) or token[:SYMBOL_SHOWN]
