"""The run state of one installation: which folder holds what, and the objects that work on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from flywheel.errors import AccessRefused
from flywheel.settings import Settings
from flywheel.storage.ids import Ids
from flywheel.storage.lake import Lake


@dataclass(frozen=True)
class Home:
    """Folders below `settings.home`. Only `restricted` may hold personal data; it is made with mode 0700."""

    settings: Settings

    @property
    def root(self) -> Path:
        return self.settings.home

    def now(self) -> datetime:
        """The settings' fixed clock (tests and the demo), else the wall clock."""
        return datetime.fromisoformat(self.settings.clock) if self.settings.clock else datetime.now(UTC)

    @property
    def restricted(self) -> Path:
        """The zone of personal data. One that somebody made by hand (`mkdir -p`) under an ordinary umask is closed to others. Raises
        `AccessRefused` where it is open to others and not ours to close."""
        folder = self.root / "restricted"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & 0o077:
            try:
                folder.chmod(0o700)
            except OSError:
                raise AccessRefused(
                    f"{folder} holds personal data and others may enter it; its owner closes it with: chmod 700 {folder}"
                ) from None
        return folder

    @property
    def landing(self) -> str:
        """Folder (or fsspec URL) that the logs arrive in."""
        return self.settings.landing or str(self.restricted / "landing")

    @property
    def label_inbox(self) -> Path:
        """Label files that people or vendors delivered: `<inbox>/*.jsonl`."""
        return self.restricted / "labels"

    @property
    def gold(self) -> Path:
        """Gold items: the setting, else `<home>/gold`, else those that the project ships."""
        return self.settings.labeling.gold or self._own_or_shipped("gold")

    @property
    def guidelines(self) -> Path:
        """Guidelines: the setting, else `<home>/guidelines`, else those that the project ships."""
        return self.settings.labeling.guidelines or self._own_or_shipped("guidelines")

    def _own_or_shipped(self, name: str) -> Path:
        own = self.root / name
        return own if own.is_dir() else Path(__file__).resolve().parents[2] / "data" / name

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def registry(self) -> Path:
        """Which model serves after each round."""
        return self.models / "registry"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def cache(self) -> Path:
        """What can be made again: embeddings, the tiny base model."""
        return self.root / "cache"

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.settings.lake or self.root / "lake", self.restricted / "tables")

    @cached_property
    def ids(self) -> Ids:
        return Ids.load(self.restricted / "keys")
