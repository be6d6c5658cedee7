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
from pathlib import Path

from flywheel.errors import IntegrityError
from flywheel.storage.files import sync_folder

KEY_BYTES = 32


class Ids:
    """Makes ids. `Ids.load(folder)` reads or creates the installation's key (mode 0600); `FLYWHEEL_ID_KEY` (hex) overrides it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise IntegrityError(f"the id key has {len(key)} bytes, needs {KEY_BYTES}; restore restricted/keys/id.key from its backup")
        self._key = key

    @classmethod
    def load(cls, folder: Path) -> Ids:
        from_environment = os.environ.get("FLYWHEEL_ID_KEY")
        if from_environment:
            try:
                return cls(bytes.fromhex(from_environment))
            except ValueError:
                raise IntegrityError("FLYWHEEL_ID_KEY must be 64 hex digits") from None
        path = folder / "id.key"
        if not path.exists():
            install_key(path, secrets.token_bytes(KEY_BYTES))
        return cls(bytes.fromhex(path.read_text().strip()))

    def make(self, kind: str, *parts: str) -> str:
        """Id of `parts` within `kind` (`record`, `pair`, `task`, ...). Parts are length-prefixed: no two lists collide by joining."""
        message = b"".join(len(p).to_bytes(4, "big") + p for p in (part.encode("utf-8", "surrogatepass") for part in (kind, *parts)))
        return hmac.digest(self._key, message, hashlib.sha256).hex()[:32]


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
