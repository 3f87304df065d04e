"""Transaction signing. No other module holds a key."""

import functools
from dataclasses import dataclass
from typing import Final

import rlp
from coincurve import PrivateKey as SecretKey
from eth_hash.auto import keccak
from eth_keys.constants import SECPK1_N
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from rlp.exceptions import RLPException
from rlp.sedes import Binary, CountableList, List, big_endian_int, binary

from keeper.chain.abi import checksum
from keeper.domain.errors import ConfigError, NotBroadcast
from keeper.domain.submission import Fees
from keeper.domain.units import MAX_TRANSACTION_GAS, Address, Gas, TransactionHash, Wei

KEY_BYTES: Final = 32
LOCAL_CHAINS: Final = frozenset({1337, 31_337})
"""Chains on which the well-known development keys may sign."""

_DEVELOPMENT_ADDRESSES: Final = frozenset(
    {
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
        "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
        "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
    }
)
"""Anvil's and Hardhat's first ten accounts with publicly known keys."""


_DYNAMIC_FEE: Final = b"\x02"
_SHORT: Final = 55
_ORDER: Final = (
    "chainId",
    "nonce",
    "maxPriorityFeePerGas",
    "maxFeePerGas",
    "gas",
    "to",
    "value",
    "data",
    "accessList",
)
_ENTRY: Final = List((Binary.fixed_length(20), CountableList(Binary.fixed_length(32))))
_UNSIGNED: Final = (
    *(big_endian_int,) * 5,
    Binary.fixed_length(20, allow_empty=True),
    big_endian_int,
    binary,
    CountableList(_ENTRY),
)
_PAYLOAD: Final = List(_UNSIGNED)
_SIGNED: Final = List((*_UNSIGNED, *(big_endian_int,) * 3))
"""Source: EIP-1559."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """Fields of a transaction without value. ``to`` None creates a contract."""

    nonce: int
    to: Address | None
    calldata: bytes
    gas_limit: Gas
    fees: Fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Signed bytes and their hash."""

    hash: TransactionHash
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """Policy of a node's signer, enforced against the rest of the program.

    It allows calls of ``selector`` on ``targets``, of exactly one more function of each of
    ``others``, and empty transfers to the account itself, none above ``max_fee`` per unit of gas.
    """

    targets: frozenset[Address]
    selector: bytes
    max_fee: Wei
    others: frozenset[tuple[Address, bytes]] = frozenset()

    def refusal(self, wanted: Unsigned, own: Address) -> str:
        """Return why a transaction must not be signed. Empty if it may."""
        empty = wanted.to == own and not wanted.calldata
        called = wanted.to in self.targets and wanted.calldata.startswith(self.selector)
        other = any(
            wanted.to == target and wanted.calldata.startswith(function)
            for target, function in self.others
        )
        if not (empty or called or other):
            return f"a transaction to {wanted.to or 'nobody'} is none that this node sends"
        if wanted.gas_limit > MAX_TRANSACTION_GAS:
            return f"{wanted.gas_limit} gas is more than a transaction may have"
        if wanted.fees.max_fee > self.max_fee:
            return f"{wanted.fees.max_fee} wei per gas is above policy.max_fee_gwei"
        return ""


def checked_key(key: bytes, chain_id: int | None = None) -> Address:
    """Derive the address of a private key.

    Raises:
        ConfigError: not a key, or (with a chain id) a public development key on a chain
            that is not local. The message never holds the key.
    """
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"the private key has {len(key)} bytes instead of {KEY_BYTES}",
            hint="64 hex digits, with or without 0x, and nothing else",
        )
    if not 0 < int.from_bytes(key) < SECPK1_N:
        raise ConfigError(
            "the private key is outside of the curve's range (1 to its order less 1)",
            hint="make one with `keeper key new`",
        )
    address = checksum(PrivateKey(key).public_key.to_canonical_address())
    if chain_id is not None and chain_id not in LOCAL_CHAINS and address in _DEVELOPMENT_ADDRESSES:
        raise ConfigError(
            f"the key of {address} is a development key that everybody has",
            hint=f"use a key of your own on chain {chain_id}: `keeper key new`",
        )
    return address


class LocalSigner:
    """Signs EIP-1559 transactions for one chain with a key in memory."""

    __slots__ = ("_mandate", "address", "chain_id", "sign_fields")

    def __init__(self, key: bytes, chain_id: int, mandate: Mandate | None = None) -> None:
        self.address = checked_key(key, chain_id)
        self.chain_id = chain_id
        self._mandate = mandate
        self.sign_fields = functools.partial(_sign_fields, SecretKey(key))

    def __repr__(self) -> str:
        """Name the account, never the key."""
        return f"LocalSigner(address={self.address!r}, chain_id={self.chain_id})"

    def __reduce__(self) -> str:
        """Refuse to be copied or written anywhere."""
        raise TypeError("a signer cannot be pickled")

    def sign(self, wanted: Unsigned) -> Signed:
        """Sign a transaction after comparing every field and the sender.

        Raises:
            NotBroadcast: it is outside of the signing policy, or the signed bytes differ from
                it.
        """
        refusal = self._mandate.refusal(wanted, self.address) if self._mandate else ""
        if refusal:
            raise NotBroadcast(f"not signed: {refusal}")
        fields = _build_fields(wanted, self.chain_id)
        raw = self.sign_fields(fields)
        _verify_signed(raw, fields, self.address)
        return Signed(hash=TransactionHash("0x" + keccak(raw).hex()), raw=raw)


def unsigned_payload(wanted: Unsigned, chain_id: int) -> bytes:
    """Encode the unsigned transaction, type byte included."""
    fields = _build_fields(wanted, chain_id)
    to = bytes.fromhex(str(fields["to"])[2:])
    return _DYNAMIC_FEE + _encode_rlp([to if name == "to" else fields[name] for name in _ORDER])


def _build_fields(wanted: Unsigned, chain_id: int) -> dict[str, object]:
    return {
        "type": 2,
        "chainId": chain_id,
        "nonce": wanted.nonce,
        "to": wanted.to or "0x",
        "value": 0,
        "data": wanted.calldata,
        "gas": wanted.gas_limit,
        "maxFeePerGas": wanted.fees.max_fee,
        "maxPriorityFeePerGas": wanted.fees.priority_fee,
        "accessList": (),
    }


def _sign_fields(key: SecretKey, fields: dict[str, object]) -> bytes:
    """Encode and sign the EIP-1559 transaction.

    It is implemented here because sends wait for it and the library takes ten times as long.
    ``_verify_signed`` decodes the result with libraries, field by field.

    Source: EIP-1559, EIP-2718. The signature follows RFC 6979 with low s, like the library's.
    """
    to = bytes.fromhex(str(fields["to"])[2:])
    unsigned = [to if name == "to" else fields[name] for name in _ORDER]
    digest = keccak(_DYNAMIC_FEE + _encode_rlp(unsigned))
    signature = key.sign_recoverable(digest, hasher=None)
    r, s = (int.from_bytes(signature[at : at + 32]) for at in (0, 32))
    return _DYNAMIC_FEE + _encode_rlp([*unsigned, signature[64], r, s])


def _encode_rlp(item: object) -> bytes:
    """Encode an integer, bytes or a sequence of these by recursive length prefix."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8)
    if not isinstance(item, bytes):
        body = b"".join(map(_encode_rlp, item))  # type: ignore[call-overload]
        return _encode_prefix(len(body), 0xC0) + body
    if len(item) == 1 and item[0] < 0x80:  # noqa: PLR2004 - a small byte encodes itself
        return item
    return _encode_prefix(len(item), 0x80) + item


def _encode_prefix(size: int, kind: int) -> bytes:
    if size <= _SHORT:
        return bytes([kind + size])
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([kind + _SHORT + len(length)]) + length


def _verify_signed(raw: bytes, fields: dict[str, object], address: Address) -> None:
    """Decode signed bytes with independent libraries and compare them.

    Raises:
        NotBroadcast: they differ from the request.
    """
    try:
        *said, v, r, s = rlp.decode(raw.removeprefix(_DYNAMIC_FEE), _SIGNED)
        digest = keccak(_DYNAMIC_FEE + rlp.encode(said, _PAYLOAD))
        signer = Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(digest)
    except (RLPException, BadSignature, ValueError) as error:
        raise NotBroadcast(f"what was signed cannot be read: {type(error).__name__}") from error
    seen = dict(zip(_ORDER, said, strict=True))
    if not raw.startswith(_DYNAMIC_FEE):
        raise NotBroadcast("the signer signed another kind of transaction than it was given")
    if seen["to"] != bytes.fromhex(str(fields["to"])[2:]) or seen["data"] != fields["data"]:
        raise NotBroadcast("the signer signed another call than it was given")
    for name in fields.keys() - {"type", "to", "data", "accessList"}:
        if seen[name] != fields[name]:
            raise NotBroadcast(f"the signer signed another {name} than it was given")
    if seen["accessList"]:
        raise NotBroadcast("the signer added an access list")
    if signer.to_canonical_address() != bytes.fromhex(address[2:]):
        raise NotBroadcast("the signature is not the configured account's")
