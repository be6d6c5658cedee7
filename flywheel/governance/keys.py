"""Where the vault's master key comes from: one small interface, a file or the environment behind it, a key-management service if you write one.

The master key wraps one thing only, the vault's own wrapping key, so that a service is asked once an opening, not once a value. It never
touches a value: `wrap` and `unwrap` are all that a service must do.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Protocol

from flywheel.errors import AccessRefused, BadInput, IntegrityError
from flywheel.storage.files import sync_folder
from flywheel.storage.ids import KEY_BYTES, install_key

VARIABLE, NEXT_VARIABLE = "FLYWHEEL_VAULT_KEY", "FLYWHEEL_VAULT_KEY_NEXT"
NONCE = 12


class KeyProvider(Protocol):
    """Master keys by id. During a rotation there are two: the one in force and its successor."""

    @property
    def current(self) -> str:
        """Id of the key in force."""

    @property
    def next(self) -> str | None:
        """Id of its successor, while a rotation is under way."""

    def wrap(self, kid: str, data: bytes, bound: bytes) -> bytes:
        """Seal 32 bytes with key `kid`, bound to `bound`."""

    def unwrap(self, kid: str, data: bytes, bound: bytes) -> bytes:
        """The bytes again. Raises `AccessRefused` for a key that is not there, `IntegrityError` for altered ones."""

    def first_token_key(self) -> bytes:
        """32 bytes for the token key of a new vault. The same master key may always give the same ones, so that tokens repeat."""

    def reload(self) -> None:
        """Look again which keys there are: another process may have rotated."""

    def begin(self) -> str:
        """Make (or find again, after a crash) the successor; its id. It is stored durably before this returns."""

    def retire(self) -> None:
        """The successor is in force from now on; the old key is destroyed. Called when nothing is wrapped with the old one any more."""


def key_id(key: bytes) -> str:
    """Tells keys apart without telling the key."""
    return hmac.digest(key, b"flywheel vault key id", hashlib.sha256).hex()[:16]


def seal(key: bytes, data: bytes, bound: bytes) -> bytes:
    """AES-GCM with a random nonce in front."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, bound)


def unseal(key: bytes, data: bytes, bound: bytes) -> bytes:
    """What `seal` sealed. Raises `IntegrityError` when it was altered, moved or sealed with another key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(data[:NONCE], data[NONCE:], bound)
    except (InvalidTag, ValueError):
        raise IntegrityError("a sealed value was altered; restore the vault from its backup") from None


def parse_key(text: str, place: str) -> bytes:
    """64 hex digits as bytes. Raises `IntegrityError` naming where they stood."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise IntegrityError(f"{place} must be {2 * KEY_BYTES} hex digits; restore the vault key from its backup")
    return key


class LocalKeys:
    """Keys that are at hand as bytes; what the file and the environment have in common."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self._current = ""
        self._next: str | None = None

    def _take(self, key: bytes, following: bytes | None) -> None:
        self._current, self._next = key_id(key), key_id(following) if following else None
        self._keys = {self._current: key, **({key_id(following): following} if following else {})}

    @property
    def current(self) -> str:
        return self._current

    @property
    def next(self) -> str | None:
        return self._next

    def reload(self) -> None:
        """The environment of a process does not change."""

    def _key(self, kid: str, purpose: bytes) -> bytes:
        if kid not in self._keys:
            raise AccessRefused(f"the vault's master key {kid} is not at hand (there is {self._current})")
        return hmac.digest(self._keys[kid], purpose, hashlib.sha256)

    def wrap(self, kid: str, data: bytes, bound: bytes) -> bytes:
        return seal(self._key(kid, b"flywheel vault wrap"), data, bound)

    def unwrap(self, kid: str, data: bytes, bound: bytes) -> bytes:
        return unseal(self._key(kid, b"flywheel vault wrap"), data, bound)

    def first_token_key(self) -> bytes:
        return self._key(self._current, b"flywheel vault token")


class FileKeys(LocalKeys):
    """`vault.key` in a folder (mode 0600), made with a new vault only; its successor waits beside it as `vault.key.next`."""

    def __init__(self, path: Path, *, vault_exists: bool) -> None:
        super().__init__()
        self._path, self._following = path, path.with_name(f"{path.name}.next")
        if not path.exists():
            if vault_exists:
                raise IntegrityError(f"the vault's key is gone: restore restricted/keys/{path.name} or set {VARIABLE}; nothing was changed")
            install_key(path, secrets.token_bytes(KEY_BYTES))
        self.reload()

    def reload(self) -> None:
        """Read the files again: another process may have rotated."""
        following = parse_key(self._following.read_text(), str(self._following)) if self._following.exists() else None
        self._take(parse_key(self._path.read_text(), str(self._path)), following)

    def begin(self) -> str:
        if not self._following.exists():
            install_key(self._following, secrets.token_bytes(KEY_BYTES))
        self.reload()
        assert self._next is not None  # noqa: S101 - `reload` has just read it
        return self._next

    def retire(self) -> None:
        if self._following.exists():
            _overwrite(self._path)
            os.replace(self._following, self._path)
            sync_folder(self._path.parent)
        self.reload()


def _overwrite(path: Path) -> None:
    """Zeros over the old key before its name goes to the new one (best effort: a journal or flash may keep the old block). Killed in
    between, the next opening finds the vault wrapped with the successor and retires again."""
    with open(path, "r+b") as file:
        file.write(b"0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())


class EnvironmentKeys(LocalKeys):
    """`FLYWHEEL_VAULT_KEY`, and for a rotation `FLYWHEEL_VAULT_KEY_NEXT`: for installations that keep keys in a secret store."""

    def __init__(self) -> None:
        super().__init__()
        following = os.environ.get(NEXT_VARIABLE)
        self._take(parse_key(os.environ[VARIABLE], VARIABLE), parse_key(following, NEXT_VARIABLE) if following else None)
        if self._next == self._current:
            self._next = None

    def begin(self) -> str:
        if self._next is None:
            raise BadInput(f"set {NEXT_VARIABLE} to the new key (64 hex digits) beside {VARIABLE}, then run the same command again")
        return self._next

    def retire(self) -> None:
        """Nothing to destroy here: take the new key as `FLYWHEEL_VAULT_KEY` and delete the old one from the secret store."""


def provider_at(keys: Path, *, vault_exists: bool) -> KeyProvider:
    """The environment's key if it is set, else the file's in the folder `keys`."""
    return EnvironmentKeys() if os.environ.get(VARIABLE) else FileKeys(keys / "vault.key", vault_exists=vault_exists)
