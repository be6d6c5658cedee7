"""What lies in the vault's file, and what goes in and comes out."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 2
SCHEMA = """
create table if not exists entries (token text primary key, type text not null, kid text not null) strict, without rowid;
create table if not exists copies (
  token text not null, owner text not null, sealed blob not null, primary key (token, owner)) strict, without rowid;
create table if not exists holders (
  token text not null, subject_id text not null, conversation_id text not null, certain integer not null,
  primary key (token, subject_id, conversation_id)) strict, without rowid;
create index if not exists holders_by_subject on holders (subject_id);
create index if not exists holders_by_conversation on holders (conversation_id);
create table if not exists aliases (
  conversation_id text not null, round text not null, alias text not null, token text not null,
  primary key (conversation_id, round, alias, token)) strict, without rowid;
"""


@dataclass(frozen=True)
class Finding:
    """A value to store. `certain`: a profile said it or a structured pattern found it; not so for what dialogue rules guessed."""

    type: str
    value: str
    subject_id: str = ""
    conversation_id: str = ""
    certain: bool = True


@dataclass(frozen=True)
class Holder:
    """Where a value belongs. `conversation_id` is empty for what an import said about a subject."""

    subject_id: str
    conversation_id: str
    certain: bool


@dataclass(frozen=True)
class Entry:
    """A stored value and all that hold it."""

    token: str
    type: str
    value: str
    holders: tuple[Holder, ...]


def bound(type: str, token: str, kid: str, owner: str) -> bytes:
    """The associated data of a sealed copy: it opens nowhere else."""
    return f"{type}|{token}|{kid}|{owner}".encode()
