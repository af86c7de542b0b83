"""Every seeded bug is rejected by the check that it names, which passes without it."""

import pytest
from seeded_bugs_couplings import BUGS


@pytest.mark.filterwarnings("ignore:.*have not met:samplers.SamplingWarning")
@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_rejected(name, monkeypatch):
    check = BUGS[name](monkeypatch)
    with pytest.raises(AssertionError):
        check()
