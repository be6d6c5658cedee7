"""`flywheel vault`: what it holds, a new master key, the value behind a token."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from flywheel.errors import AccessRefused, IntegrityError, NotFound
from flywheel.governance.keys import NEXT_VARIABLE, VARIABLE
from flywheel.governance.vault import Vault
from flywheel.output import CONTROL, frame, print_frame, print_table, say
from flywheel.settings import Settings
from flywheel.storage import Home

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="The values behind aliases, and their keys.")
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")


@contextmanager
def opened(home: Home) -> Iterator[Vault]:
    """The vault, if there is one: looking must not make it."""
    if not (home.root / "restricted" / "vault.db").exists():
        raise NotFound(f"{home.root} has no vault yet; the first import makes it")
    vault = Vault.open(home)
    try:
        yield vault
    finally:
        vault.close()


@app.command()
def status(
    check: bool = typer.Option(False, "--check", help="Also open every sealed value; exit code 4 when one was altered."),
    as_json: bool = JSON,
) -> None:
    """How many values of which type, whose keys seal them, and whether a rotation is under way. Shows no value."""
    home = Home(Settings.load())
    with opened(home) as vault:
        facts = vault.status()
        altered = vault.check() if check else []
    if as_json:
        counts = {k: facts[k] for k in ("values", "copies", "subjects", "conversations_with_aliases")}
        result = {**facts, **({"altered": altered} if check else {})}
        print_frame(frame("vault.status", input={"home": str(home.root), "check": check}, counts=counts, result=result))
    else:
        types = facts.pop("by_type")
        print_table("Vault", ["what", "value"], [(k.replace("_", " "), v) for k, v in facts.items()], empty="")
        print_table("Values by type", ["type", "values"], list(types.items()), empty="No value is stored.")
    if altered:
        raise IntegrityError(f"{len(altered)} values were altered (tokens {', '.join(altered[:5])} ...); restore the vault from its backup")
    if check and not as_json:
        typer.echo(f"every one of {facts['copies']:,} sealed copies opens and has its token")


@app.command()
def rotate(as_json: bool = JSON) -> None:
    """Put a new master key in force and destroy the old one. Killed anywhere, the same command goes on. Back the new key up afterwards:
    a copy of the vault from before opens only with the key from before."""
    from flywheel.governance import provenance_log

    home = Home(Settings.load())
    with opened(home) as vault:
        facts = vault.rotate()
    provenance_log(home).append("vault_rotated", facts, home.now())
    from_environment = bool(os.environ.get(VARIABLE))
    todo = (
        f"take {NEXT_VARIABLE}'s key as {VARIABLE} now and delete the old one from the secret store"
        if from_environment
        else "back up restricted/keys/vault.key now: the old key is gone"
    )
    if as_json:
        print_frame(
            frame("vault.rotate", input={"home": str(home.root)}, counts={"keys": facts["keys_rewrapped"]}, result=facts, warnings=[todo])
        )
        return
    typer.echo(f"master key {facts['old_key']} is retired, {facts['new_key']} in force; {facts['keys_rewrapped']:,} keys wrapped anew")
    say(f"note: {todo}")


@app.command()
def reveal(
    token: str = typer.Argument(..., help="32 hex digits, as `privacy scan` or `privacy redact --vault` names them."),
    role: str = typer.Option("", "--role", help="auditor: nobody else may look."),
    reason: str = typer.Option("", "--reason", help="Why, in words; goes on record before the value is shown."),
    as_json: bool = JSON,
) -> None:
    """The raw value of a token. Every look and every refusal is on record in the provenance log."""
    from flywheel.governance import provenance_log

    if len(token) != 32 or any(c not in "0123456789abcdef" for c in token):
        raise AccessRefused("a token is 32 hex digits; nothing was looked up")
    home = Home(Settings.load())
    with opened(home) as vault:
        value = vault.reveal(token, role, reason, provenance_log(home), at=home.now())
    if as_json:
        print_frame(frame("vault.reveal", input={"token": token, "role": role, "reason": reason}, result={"token": token, "value": value}))
        return
    typer.echo(CONTROL.sub(lambda m: repr(m[0])[1:-1], value))
