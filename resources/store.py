"""The one resource through which assets reach the run state: it hands out `Home` and the stores that live in it.

What belongs here: construction of domain objects from a path. What does not: anything that decides or computes.
https://docs.dagster.io/guides/build/external-resources
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property

import dagster as dg

from flywheel.governance import ConsentCheck, ConsentLedger, ProvenanceLog, Vault, consent_ledger, provenance_log
from flywheel.rounds import Verdicts
from flywheel.settings import Settings
from flywheel.storage import Home


def default_path() -> str:
    """`FLYWHEEL_HOME`, else `data` in the working directory."""
    return os.environ.get("FLYWHEEL_HOME", "data")


class Store(dg.ConfigurableResource):
    """The run state below `path`."""

    path: str

    @cached_property
    def home(self) -> Home:
        return Home(Settings.load(home=self.path))

    def now(self) -> datetime:
        """The run state's clock."""
        return self.home.now()

    @property
    def ledger(self) -> ConsentLedger:
        return consent_ledger(self.home)

    @property
    def consent(self) -> ConsentCheck:
        """Asks the ledger about rows, now."""
        return ConsentCheck(self.home)

    @contextmanager
    def vault(self) -> Iterator[Vault]:
        """The vault, open for one stage's work."""
        vault = Vault.open(self.home)
        try:
            yield vault
        finally:
            vault.close()

    @property
    def verdicts(self) -> Verdicts:
        return Verdicts(self.home.provenance / "verdicts")

    @property
    def provenance(self) -> ProvenanceLog:
        return provenance_log(self.home)
