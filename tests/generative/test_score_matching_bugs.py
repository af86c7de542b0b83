"""Each seeded bug of score matching fails the check that the right code passes."""

import pytest
from seeded_bugs_score_matching import BUGS


@pytest.mark.parametrize("name", BUGS)
def test_seeded_bugs_are_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()
