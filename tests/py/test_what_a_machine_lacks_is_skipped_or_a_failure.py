"""`skip_or_fail`, and `./dev test` with it: nothing is left out silently."""

from __future__ import annotations

import pytest

from needs import skip_or_fail


@pytest.mark.parametrize("value", [None, "", "0"])
def test_it_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("SCISTREAM_TEST_ALL", raising=False)
    if value is not None:
        monkeypatch.setenv("SCISTREAM_TEST_ALL", value)
    with pytest.raises(pytest.skip.Exception, match="no engine"):
        skip_or_fail("no engine")


def test_it_is_a_failure_where_every_test_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCISTREAM_TEST_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no engine"):
        skip_or_fail("no engine")
