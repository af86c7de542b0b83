"""Docstrings of public classes: an example that runs, every field and argument named, every paper linked.

Examples are doctests in which torch, samplers and targets are at hand; a warning in one is an error.
"""

import dataclasses
import doctest
import importlib
import inspect
import re
import sys

import pytest
import torch

import samplers
import targets

PACKAGES = (
    "targets",
    "samplers",
    "samplers.annealing",
    "samplers.annealing.pilot",
    "samplers.compare",
    "samplers.denoisers",
    "samplers.denoisers.spins",
    "samplers.diagnostics",
    "samplers.diagnostics.couplings",
    "samplers.diffusion",
    "samplers.generative",
    "samplers.generative.bridges",
    "samplers.generative.guidance",
    "samplers.generative.solvers",
    "samplers.draws",
    "samplers.generative.solvers",
    "samplers.kernels",
    "samplers.networks",
    "samplers.particles",
    "samplers.peers",
    "samplers.smoothing",
    "samplers.testing",
)
FLAGS = doctest.NORMALIZE_WHITESPACE


def public_classes():
    """{name: class}, each under the first package that exports it."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and value not in found.values():
                found[f"{package}.{name}"] = value
    return found


CLASSES = public_classes()
EVERY_CLASS = pytest.mark.parametrize("name", CLASSES)


def arguments(kind):
    """The fields of a dataclass, else what its own __init__ takes."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if not field.name.startswith("_")]
    if not inspect.isfunction(kind.__init__) or getattr(kind, "_is_protocol", False):
        return []
    return list(inspect.signature(kind.__init__).parameters)[1:]


@EVERY_CLASS
def test_examples_run(name):
    kind = CLASSES[name]
    found = doctest.DocTestFinder(recurse=False).find(
        kind, name, sys.modules[kind.__module__], {"torch": torch, "samplers": samplers, "targets": targets}
    )
    examples = [example for test in found for example in test.examples]
    assert examples, f"{name} has no example"
    assert not re.search(r"^>>>", inspect.cleandoc(kind.__doc__), re.MULTILINE), f"{name}: indent the example, as code"
    assert len(examples) <= 8, f"{name}: {len(examples)} lines are no longer short"
    for test in found:
        text = []
        result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=text.append)
        assert not result.failed, "".join(text)


@EVERY_CLASS
def test_fields_are_named(name):
    kind = CLASSES[name]
    text = kind.__dict__.get("__doc__") or ""
    missing = [argument for argument in arguments(kind) if not re.search(rf"\b{argument}\b", text)]
    assert not missing, f"the docstring of {name} does not name {', '.join(missing)}"


def test_links_are_of_the_kind_that_lasts():
    for name, kind in CLASSES.items():
        for link in re.findall(r"https?://\S+", kind.__doc__ or ""):
            link = link.rstrip(".,;:)")
            assert re.fullmatch(
                r"https://(arxiv\.org/abs/(\d{4}\.\d{4,5}|[a-z]+/\d{7})|doi\.org/10\.\d{4,5}/.+|proceedings\.mlr\.press/.+)",
                link,
            ), f"{name}: {link}"
