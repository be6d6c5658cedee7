"""Asset checks: gates (blocking, backed by stored verdicts) and table checks."""
