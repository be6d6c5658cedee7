"""Dagster resources and the IO manager: each hands out a domain object. No stage logic, no asset, no schedule belongs here."""
