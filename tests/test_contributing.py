"""The lists of CONTRIBUTING are true: their files exist, and each has to do with the example that they go by."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
LISTS = {
    kind: (example, re.findall(r"^\d+\. `([^`]+)`", steps, re.MULTILINE))
    for kind, example, steps in re.findall(r"^### An? ([^\n]*), such as `(\w+)`$(.*?)(?=^### |\Z)", TEXT, re.M | re.S)
}
MOST = {"kernel": 9, "learned sampler": 11, "target": 6, "diagnostic": 6, "column of the comparison": 3}


def test_there_is_a_list_for_each_kind():
    assert LISTS.keys() == MOST.keys()


@pytest.mark.parametrize("kind", MOST)
def test_every_file_of_a_list_mentions_its_example(kind):
    example, files = LISTS[kind]
    assert 2 < len(set(files)) == len(files) <= MOST[kind]
    for file in files:
        assert re.search(rf"\b{example}\b", (ROOT / file).read_text()), f"{file} does not mention {example}"


def test_folders_and_files_that_are_named_exist():
    for name in re.findall(r"`((?:samplers|targets|tests|benchmarks|docs)/[\w/.]*)`", TEXT):
        assert (ROOT / name).exists(), name


def test_the_lines_to_make_are_targets_of_the_makefile():
    rules = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = {goal for rule in rules for goal in rule.split()}
    asked = re.findall(r"^ +make ([\w -]+?)(?: *#.*)?$", TEXT, re.MULTILINE)
    assert asked
    assert {goal for line in asked for goal in line.split()} <= made
