"""Flywheel: a governed, active-learning, human-preference data flywheel for LLMs.

The domain: plain Python, one folder a stage. Nothing in here imports Dagster (`tests/test_architecture.py` proves it).
"""

__version__ = "0.1.0"
