"""Readers never wait and never fail: the views of `flywheel sql` while another process rewrites the round."""

from __future__ import annotations

import pytest

from bench.audit_reads import read_while_writing
from flywheel.storage import Home
from tests.small_rounds import R1


@pytest.mark.slow
def test_no_read_fails_while_a_round_is_rewritten(small_home: Home) -> None:
    found = read_while_writing(small_home, R1, reads=60)
    assert found.failures == []
    assert found.reads == 60
    assert found.versions > 1, "the reader must have met changes, or this proves nothing"
    assert found.rewrites > 1
