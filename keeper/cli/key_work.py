"""Implementation of ``keeper key``."""

import getpass
import re
import sys
from pathlib import Path
from typing import Final

from keeper.chain.optional import fetch_pending_nonce
from keeper.cli.findings import Finding, fail, failed, ok, warn
from keeper.cli.here import Here, here, password, wallet_key
from keeper.config import Settings
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address
from keeper.execution import keystore
from keeper.execution.signer import checked_key

DELEGATION: Final = bytes.fromhex("ef0100")
"""How the code of an account begins that lets a contract act for it (EIP-7702)."""

_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def made(file: Path, password_file: Path | None) -> Address:
    """Create a key, store it in ``file``, return its address."""
    _refuse_existing(file)
    return keystore.create(file, password(password_file, confirm=True))


def imported(file: Path, password_file: Path | None, key_file: Path | None) -> Address:
    """Store a given key in ``file``, return its address."""
    _refuse_existing(file)
    key = _read_key(key_file)
    return keystore.store(file, key, password(password_file, confirm=True))


def _refuse_existing(file: Path) -> None:
    """Refuse an existing file before a password is typed."""
    if file.exists():
        raise ConfigError(f"{file} exists already", hint="choose another file")


def _read_key(key_file: Path | None) -> bytes:
    if key_file is not None:
        text = password(key_file)
    elif sys.stdin.isatty():
        text = getpass.getpass("private key: ", stream=sys.stderr)
    else:
        raise ConfigError(
            "the key cannot be asked for: stdin is not a terminal", hint="use --key-file"
        )
    if not _KEY.fullmatch(text):
        raise ConfigError(
            "this is not a private key", hint="64 hexadecimal digits, with or without 0x"
        )
    return bytes.fromhex(text.removeprefix("0x"))


async def checked(settings: Settings) -> list[Finding]:
    """Return all findings about the configured key."""
    key = wallet_key(settings.wallet)
    checked_key(key)
    async with here(settings) as place:
        return await findings(place, key)


async def findings(place: Here, key: bytes) -> list[Finding]:
    """Return the chain's findings on the hot key's account."""
    address = checked_key(key)
    found = [
        ok("key", str(address)),
        _check_storage(place.settings),
        _check_origin(place.settings, key),
    ]
    code = await place.reader.code(address, place.basis)
    if code.startswith(DELEGATION):
        target = f"0x{code[len(DELEGATION) :].hex()}"
        found.append(fail("key code", f"is delegated to {target}", "use a key of your own"))
    elif code:
        found.append(fail("key code", f"{address} is a contract", "use a plain account"))
    else:
        found.append(ok("key code", "none, and no delegation"))
    latest = await place.reader.transaction_count(address)
    pending = await fetch_pending_nonce(place.reader, address)
    found.append(_check_nonce(latest, pending))
    balance = await place.reader.balance(address, place.basis)
    found.append(
        ok("key balance", f"{balance} wei")
        if balance
        else fail("key balance", "0 wei", f"send gas money to {address}")
    )
    return found


def _check_nonce(latest: int, pending: int | None) -> Finding:
    """Report the nonce and pending transactions."""
    if pending is None:
        text = f"{latest}; no endpoint tells what waits: use of the key by others shows when mined"
        return warn("key nonce", text, "use an endpoint that answers the nonce at `pending`")
    if pending == latest:
        return ok("key nonce", str(latest))
    return warn("key nonce", f"{latest}, and {pending - latest} waiting", "keeper tx list")


def _check_storage(settings: Settings) -> Finding:
    if settings.wallet.private_key is not None:
        return warn("key storage", "is in the environment", "keeper key import, wallet.keystore")
    return ok("key storage", f"keystore {settings.wallet.keystore}")


def _check_origin(settings: Settings, key: bytes) -> Finding:
    try:
        checked_key(key, settings.chain.id)
    except ConfigError as error:
        return failed("key origin", error)
    return ok("key origin", "not a well-known key, or a local chain")
