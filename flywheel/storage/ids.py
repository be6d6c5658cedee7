"""Keyed ids: HMAC-SHA256 over length-prefixed parts, 32 hex digits.

Raw ids may hold e-mail addresses and are guessable, so an unkeyed hash of them would be reversible by trying. The installation's
id key is made once, lies in the restricted zone and is never rotated: every table refers to these ids.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from flywheel.errors import IntegrityError
from flywheel.storage.files import sync_folder, write_atomically

KEY_BYTES = 32


class Ids:
    """Makes ids. `Ids.load(folder)` reads or creates the installation's key (mode 0600); `FLYWHEEL_ID_KEY` (hex) overrides it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise IntegrityError(f"the id key has {len(key)} bytes, needs {KEY_BYTES}; restore restricted/keys/id.key from its backup")
        self._key = key
        # the two states that every HMAC with this key starts from: copying them is thrice as fast as starting anew
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(b ^ 0x36 for b in block))
        self._outer = hashlib.sha256(bytes(b ^ 0x5C for b in block))

    @classmethod
    def load(cls, folder: Path) -> Ids:
        """The installation's ids. Raises `IntegrityError` when the key is lost, damaged or another one than before: with other ids a
        withdrawn subject would be a stranger, and every record a new one."""
        path, fingerprint = folder / "id.key", folder / "id.fingerprint"
        known = fingerprint.read_text().strip() if fingerprint.exists() else None
        from_environment = os.environ.get("FLYWHEEL_ID_KEY")
        if not from_environment and not path.exists():
            if known is not None:
                raise IntegrityError(
                    f"{path} is missing: restore it from its backup (see docs/operations.md); no id can be made without it"
                )
            install_key(path, secrets.token_bytes(KEY_BYTES))
        try:
            key = bytes.fromhex(from_environment or path.read_text().strip())
        except ValueError:
            place = "FLYWHEEL_ID_KEY" if from_environment else str(path)
            raise IntegrityError(f"{place} must be {2 * KEY_BYTES} hex digits; restore the key from its backup") from None
        made = cls(key)
        mark = made.fingerprint
        if known is None:
            write_atomically(fingerprint, f"{mark}\n".encode(), mode=0o600)
        elif known != mark:
            raise IntegrityError(
                f"the id key (fingerprint {mark}) is not the one that this run state was made with ({known}); restore that one"
            )
        return made

    def make(self, kind: str, *parts: str) -> str:
        """Id of `parts` within `kind` (`record`, `pair`, `task`, ...). Parts are length-prefixed: no two lists collide by joining."""
        return self.series(kind, *parts[:-1])(parts[-1]) if parts else self._make(kind)

    def series(self, kind: str, *first: str) -> Callable[[str], str]:
        """`make` for many ids that differ in their last part only."""
        begun, outer = self._inner.copy(), self._outer
        for part in (kind, *first):
            begun.update(_prefixed(part))

        def made(last: str) -> str:
            raw = last.encode("utf-8", "surrogatepass")
            inner, around = begun.copy(), outer.copy()
            inner.update(len(raw).to_bytes(4, "big") + raw)
            around.update(inner.digest())
            return around.hexdigest()[:32]

        return made

    def digests(self, kind: str, *first: str) -> Callable[[Sequence[str]], bytes]:
        """`series` of many at once, as bytes (16 each, one after the other): a new state for each is quicker than the copy of one."""
        block = self._key.ljust(64, b"\0")
        begun = bytes(b ^ 0x36 for b in block) + b"".join(map(_prefixed, (kind, *first)))
        outer, sha256 = bytes(b ^ 0x5C for b in block), hashlib.sha256

        def made(last: Sequence[str]) -> bytes:
            raw = [text.encode("utf-8", "surrogatepass") for text in last]
            return b"".join([sha256(outer + sha256(begun + len(r).to_bytes(4, "big") + r).digest()).digest()[:16] for r in raw])

        return made

    def _make(self, kind: str) -> str:
        return hmac.digest(self._key, _prefixed(kind), hashlib.sha256).hex()[:32]

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without telling the key."""
        return hmac.digest(self._key, b"fingerprint", hashlib.sha256).hex()[:16]

    def __reduce__(self) -> tuple[type[Ids], tuple[bytes]]:
        return Ids, (self._key,)  # hash states cannot be pickled


def _prefixed(part: str) -> bytes:
    raw = part.encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(4, "big") + raw


def install_key(path: Path, key: bytes) -> None:
    """Put a key in place unless one is there: two processes that start at once agree on the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex())
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    os.unlink(temporary)
    sync_folder(path.parent)


def sha256_text(text: str) -> str:
    """SHA-256 of UTF-8 text, hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
