"""The graph, thin: one module a stage. Importing this package wires nothing; `assets.definitions` does."""
