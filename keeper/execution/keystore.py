"""Keystore files of version 3. No message ever holds the key."""

import importlib
import json
import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keeper.chain.abi import checksum
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address
from keeper.execution.signer import KEY_BYTES, checked_key
from keeper.exposure import find_exposures

if TYPE_CHECKING:
    from eth_account import Account

log = logging.getLogger(__name__)

LEAST_ROUNDS: Final = {"scrypt": ("n", 2**14), "pbkdf2": ("c", 100_000)}
"""Least work factor of a guess at the password, by key derivation."""


def create(path: Path, password: str) -> Address:
    """Create a key from the operating system's randomness, store it and return its address."""
    return store(path, secrets.token_bytes(KEY_BYTES), password)


def store(path: Path, key: bytes, password: str) -> Address:
    """Write a key as an encrypted file of mode 0600 and return its address.

    Raises:
        ConfigError: not a key, an empty password, or the file exists already.
    """
    address = checked_key(key)
    if not password:
        raise ConfigError("the password is empty", hint="choose one")
    document = json.dumps(_load_eth_account().encrypt(key, password))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} exists already", hint="choose another file") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    return address


def load(path: Path, password: str) -> bytes:
    """Decrypt the key of a keystore file.

    Raises:
        ConfigError: readable by others, not a keystore, a wrong password, or a stated
            address that is not the key's.
    """
    document = _read(path)
    try:
        key = bytes(_load_eth_account().decrypt(document, password))
    except ValueError:
        raise ConfigError(
            f"cannot decrypt {path}: the password is wrong or the file is damaged",
            hint="check the password",
        ) from None
    except (KeyError, TypeError, AttributeError, NotImplementedError):
        raise ConfigError(
            f"{path} is not a keystore of version 3", hint="make one with `keeper key new`"
        ) from None
    address = checked_key(key)
    stated = stated_address(path)
    if stated is not None and stated != address:
        raise ConfigError(
            f"{path} says it is {stated}, but its key is that of {address}",
            hint="the file was tampered with or mixed up: do not use it",
        )
    if is_weak(document):
        log.warning(
            "keystore_weak file=%s hint=%s",
            path.name,
            "its password is cheap to guess: import the key into a new one",
        )
    return key


def _load_eth_account() -> type["Account"]:
    """Import eth_account's Account when needed, since the import takes half of a start."""
    found: type[Account] = importlib.import_module("eth_account").Account
    return found


def is_weak(document: Mapping[str, Any]) -> bool:
    """Return whether a valid keystore lets passwords be guessed cheaply."""
    crypto = document.get("crypto") or document.get("Crypto")
    kdf = str(crypto["kdf"]) if isinstance(crypto, Mapping) else ""
    if kdf not in LEAST_ROUNDS or not isinstance(crypto, Mapping):
        return True
    name, least = LEAST_ROUNDS[kdf]
    return int(crypto["kdfparams"][name]) < least


def stated_address(path: Path) -> Address | None:
    """Return the address that the file states, unverified. None if it states none."""
    stated = _read(path).get("address")
    if stated is None:
        return None
    try:
        return checksum("0x" + str(stated).removeprefix("0x").lower())
    except ValueError:
        raise ConfigError(f"{path} states an address that is none") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read the keystore {path}: {error.strerror}", hint="check wallet.keystore"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a keystore: not text") from None
    if mode & 0o077:
        raise ConfigError(
            f"the keystore {path} has mode {mode:04o}; others must not read it",
            hint=f"chmod 600 {path}",
        )
    for exposure in find_exposures(path):
        raise ConfigError(f"the keystore {path}: {exposure.problem}", hint=exposure.hint)
    try:
        document = json.loads(text)
    except ValueError:
        raise ConfigError(f"{path} is not a keystore: not JSON") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a keystore: not a JSON object")
    return document
