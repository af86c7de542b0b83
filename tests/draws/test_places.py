import pytest

from samplers.draws.places import as_file, whole


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path):
    place = tmp_path / "run.pt"
    place.write_text("before")

    def fail():
        with whole(place) as partial:
            partial.write_text("half of what")
            assert place.read_text() == "before"
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert place.read_text() == "before"
    with whole(place) as partial:
        partial.write_text("after")
    assert place.read_text() == "after"
    assert list(tmp_path.iterdir()) == [place]


def test_what_a_run_left_half_written_is_no_hindrance(tmp_path):
    (tmp_path / "run.nc.partial").write_text("left by a run that was killed")
    with whole(tmp_path / "run.nc") as partial:
        assert not partial.exists()
        partial.write_text("all")
    assert [path.name for path in tmp_path.iterdir()] == ["run.nc"]


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "..", "plain name (1)"])
def test_a_name_becomes_a_file_of_its_folder(tmp_path, name):
    made = tmp_path / as_file(name)
    made.write_text("")
    assert made.resolve().parent == tmp_path.resolve()
    assert not made.name.startswith(".")
