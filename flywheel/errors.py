"""Errors that reach a user. Each message names the thing, the place and the way out.

The command line prints these without a traceback and exits with `exit_code`; anything else is a bug.
"""

from __future__ import annotations


class FlywheelError(Exception):
    """A foreseeable failure. `exit_code` is what the command line returns for it."""

    exit_code = 1


class BadInput(FlywheelError):
    """Something a user brought (file, row, option, partition key) cannot be used."""

    exit_code = 2


class SettingsError(BadInput):
    """`flywheel.toml` or a `FLYWHEEL_*` variable holds an unknown key or an impossible value."""


class NotFound(BadInput):
    """A table, round, model or dataset version that was asked for does not exist."""


class ConsentMissing(FlywheelError):
    """A row would be used for a purpose that its subject has not allowed at this moment."""

    exit_code = 3


class GateNotPassed(FlywheelError):
    """A stage demands a verdict that is missing, not passing, or bound to other bytes."""

    exit_code = 3


class RoundRefused(FlywheelError):
    """A round may not run or change in its present state."""

    exit_code = 3


class IntegrityError(FlywheelError):
    """Stored bytes are not the bytes that were recorded."""

    exit_code = 4


class AccessRefused(FlywheelError):
    """The restricted zone was asked for without role, reason or the right key."""

    exit_code = 4


class TrainingFailed(FlywheelError):
    """The training subprocess ended without a model; the message carries its last lines."""


class ClockSetBack(FlywheelError):
    """It is earlier now than when something was recorded: a withdrawal would sleep until the clock is right again."""

    exit_code = 3
