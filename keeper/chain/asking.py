"""Calls to contracts and the decoding of their answers, hostile ones too; no I/O."""

from collections.abc import Iterator, Sequence

from keeper.chain.abi import address_at, calldata, decoded, word
from keeper.domain.errors import MarketUnreadable, RpcMalformed
from keeper.domain.names import harmless
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address

SYMBOL_SHOWN = 10


def ask(target: Address, signature: str, *values: object) -> Call:
    """Return the read of ``name(type,..)`` at a contract."""
    return Call(target=target, data=calldata(signature, *values))


class Answers:
    """The answers to a list of calls, taken one by one in its order."""

    def __init__(self, results: Sequence[CallResult]) -> None:
        self._results: Iterator[CallResult] = iter(results)

    def next(self) -> CallResult:
        """Return the next answer; MarketUnreadable where there are too few."""
        try:
            return next(self._results)
        except StopIteration:
            raise MarketUnreadable("fewer answers than questions") from None

    def data(self, what: str) -> bytes:
        """Return the next answer's bytes; MarketUnreadable if it failed or says nothing."""
        answer = self.next()
        if not answer.success or not answer.data:
            raise MarketUnreadable(f"{what} does not answer")
        return answer.data

    def words(self, count: int, what: str) -> tuple[int, ...]:
        """Return the next answer's first words; MarketUnreadable if it has fewer, or failed."""
        answer = self.next()
        if not answer.success:
            raise MarketUnreadable(f"{what} does not answer")
        try:
            return tuple(word(answer.data, at) for at in range(count))
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers less than {count} numbers") from None

    def integer(self, what: str) -> int:
        """Return the next answer's first word; MarketUnreadable if it failed."""
        data = self.data(what)
        try:
            return word(data, 0)
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers without a number") from None

    def maybe_integer(self, at: int = 0) -> int | None:
        """Return a word of the next answer; None if it failed or is too short."""
        answer = self.next()
        try:
            return word(answer.data, at) if answer.success else None
        except RpcMalformed:
            return None

    def address(self, what: str) -> Address:
        """Return the next answer's address; MarketUnreadable if it is none."""
        data = self.data(what)
        try:
            return address_at(data, 0)
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers without an address") from None

    def maybe_address(self) -> Address | None:
        """Return the next answer's address; None if it failed, is none, or is zero."""
        answer = self.next()
        try:
            found = address_at(answer.data, 0) if answer.success else None
        except RpcMalformed:
            return None
        return found if found is not None and int(found, 16) else None


def symbol_of(answer: CallResult, token: Address) -> str:
    """
    Return a token's symbol from text, from 32 bytes, or from its address.

    Whoever makes a token chooses it, and messages, logs and tables show it: it is made harmless.
    """
    text = ""
    if answer.success:
        try:
            text = str(decoded(("string",), answer.data)[0])
        except RpcMalformed:
            text = answer.data[:32].split(b"\0")[0].decode("utf-8", "ignore")
    printable = "".join(letter for letter in text if letter.isprintable()).strip()
    return harmless(printable[:32]) or token[:SYMBOL_SHOWN]
