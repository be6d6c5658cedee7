"""Commands that run the graph. Mounted lazily by `flywheel.cli`."""
