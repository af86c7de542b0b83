"""Every seeded bug is rejected by the check that it names, which passes without it (`test_unrolled`)."""

import pytest
from seeded_bugs_local_scores import BUGS


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()
