"""The processes of a run end when they are told to, whatever they are at."""

import time

import pytest
from gliosuite.pipeline.workers import Workers

LARGE = 300_000_000  # bytes: to send them takes some tenths of a second


@pytest.mark.timeout(120)
@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.2, 0.3])
def test_a_run_that_is_cancelled_while_a_result_is_sent_ends(after_s):
    def cancelled() -> None:
        with Workers(2) as workers:
            assert list(workers.map(bytes, [1, 2])) == [b"\0", b"\0\0"]  # both are there
            workers.map(bytes, [LARGE] * 4)
            time.sleep(after_s)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cancelled()
