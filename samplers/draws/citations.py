"""What to cite: the papers behind a set of draws, as BibTeX.

`references.bib` is the table: every entry stands below a line "used by: ..." that names what it belongs to, classes,
benchmarks (* for the rest of a name), and parts of a run that have a word here. `used` reads such names from the record
that draws carry, so that draws from a file are cited as well. A sampler or target of one's own adds its paper by
`register`, under the name of its class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from targets import Target

# attributes of draws whose words name classes: kernels, denoisers, networks, objectives, resampling schemes
MADE_OF = (
    "kernel",
    "hyperparameters",
    "tuned",
    "smoothing",
    "network",
    "objective",
    "training",
    "resampling",
    "method",
)
FLAGS = ("waste_free", "weighted")
NEEDED = ("author", "title", "year")
START = re.compile(r"^@(\w+)\{([^,\s{}]+),", re.MULTILINE)
WORD = re.compile(r"[A-Za-z_]\w*")


class Recorded(Protocol):
    """What draws say of themselves: a `samplers.Draws`."""

    attrs: dict[str, Any]
    target: Target | None
    log_weights: Any
    log_z: Any


@dataclass(frozen=True)
class Reference:
    """A BibTeX entry: its key, its text, and the names of what it belongs to, of which * is the rest of a name."""

    key: str
    text: str
    used_by: tuple[str, ...] = ()

    def belongs_to(self, names: Iterable[str]) -> bool:
        """Whether it is to be cited where these were used."""
        return any(fnmatchcase(name, pattern) for pattern in self.used_by for name in names)


_REGISTERED: dict[tuple[str, str], Reference] = {}  # by name and key


def cite(draws: Recorded) -> str:
    """BibTeX of what made these draws, each entry once, in the order of the table.

    Of the sampler, the kernels, denoisers, networks and objective in it, how warmup tuned it and weights were
    resampled, of the target by its class or the name of a benchmark, and of the diagnostics that `summary` quotes.
    Pathfinder is named wherever a warmup had a use for it: whether `init` was given is not on record. Of draws from a
    file that were loaded without their target, only its name is known.
    """
    names = used(draws)
    chosen = {one.key: one.text for one in _all() if one.belongs_to(names)}
    return "\n\n".join(chosen.values()) + "\n"


def register(name: str, bibtex: str) -> None:
    """Cite these entries wherever a sampler or target of that class, or a target of that name, was used.

    ValueError for text that is no BibTeX, and for a key that stands for another entry.
    """
    known = {one.key: one.text for one in _all()}
    found = parse(bibtex)
    for one in found:
        if known.get(one.key, one.text) != one.text:
            raise ValueError(f"bibtex: the key {one.key!r} is that of another entry, expected a key of its own")
    _REGISTERED.update({(name, one.key): Reference(one.key, one.text, (name,)) for one in found})


def used(draws: Recorded) -> set[str]:
    """The names of what made these draws."""
    attrs = draws.attrs
    names = {str(attrs[key]) for key in ("sampler", "target") if key in attrs}
    for key in MADE_OF:
        value = attrs.get(key)
        parts = value.values() if isinstance(value, Mapping) else (value,)
        names |= {word for part in parts for word in WORD.findall(str(part))}
    if draws.target is not None:
        names |= {draws.target.name, *_class(draws.target)}
    if attrs.get("keep") != "moments":
        names |= {"summary", "R-hat and ESS"}
    if draws.log_weights is not None:  # `unweighted` takes them systematically
        names |= {"Pareto k-hat", "systematic"}
    certificate = draws.__dict__.get("certificate")  # where it was made
    if certificate is not None and certificate.by_bridge is not None:
        names.add("bridge sampling")
    if draws.log_z is not None and draws.log_z.upper is not None and attrs.get("sampler") in ("SMC", "AIS"):
        names.add("bidirectional")
    given = {**attrs, **_mapping(attrs.get("hyperparameters"))}
    return names | {flag for flag in FLAGS if given.get(flag)} | _warmup(attrs) | _learned(attrs)


def _class(target: Target) -> list[str]:
    """The name of the target's class, or of the nearest that it is made from, that has a reference."""
    names = [kind.__name__ for kind in type(target).__mro__]
    return [name for name in names if any(one.belongs_to([name]) for one in _all())][:1]


def _all() -> tuple[Reference, ...]:
    return (*table(), *_REGISTERED.values())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _warmup(attrs: Mapping[str, Any]) -> set[str]:
    """How the fields were found that the kernel, or a kernel in it, left open."""
    given = _mapping(attrs.get("hyperparameters"))
    if not attrs.get("warmup"):
        return set()
    text, found = str(given), set()
    by_acceptance = attrs.get("sampler") != "MCLMC"  # which goes by energy errors
    if by_acceptance and (given.get("step_size", 0) is None or "step_size=None" in text):
        found.add("dual averaging")
    if (given.get("trajectory_length", 0) is None and given["steps"] is None) or "length=None, steps=None" in text:
        found.add("ChEES")
    if given.get("inverse_mass_matrix") in ("auto", "dense", "diagonal") and attrs["sampler"] != "RandomWalkMetropolis":
        found.add("Pathfinder")
    if given.get("metric") is not None or re.search(r"metric='", text):
        found.add("Fisher divergence")
    return found


def _learned(attrs: Mapping[str, Any]) -> set[str]:
    """What paths of a learned sampler start from, and the adjoint equation of their gradient."""
    if "fit_seed" not in attrs or "objective" not in attrs:  # what is learned from samples has none
        return set()
    found = {"adjoint"} if "'adjoint'" in str(attrs["objective"]) else set()
    if "ixture" in f"{attrs['space']} {attrs['prior']}":
        found.add("mixture reference" if "start" in attrs else "mixture prior")
    return found


@cache
def table() -> tuple[Reference, ...]:
    """All entries of references.bib."""
    return parse(files("samplers.draws").joinpath("references.bib").read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Reference, ...]:
    """The entries of a BibTeX text, each with the names on a line "used by: ..." above it.

    ValueError for braces that do not balance, a key that comes twice, and an entry without author, title or year.
    """
    found: dict[str, Reference] = {}
    end = 0
    for start in START.finditer(text):
        if start.start() < end:
            continue  # within the entry before
        names = re.findall(r"^used by: (.*)$", text[end : start.start()], re.MULTILINE)
        end, key = _closing(text, start.start()), start[2]
        entry = text[start.start() : end]
        missing = [name for name in NEEDED if not re.search(rf"\b{name}\s*=", entry)]
        if missing or key in found:
            raise ValueError(f"bibtex: {key} " + (f"has no {missing[0]}" if missing else "stands there twice"))
        found[key] = Reference(key, entry, tuple(name.strip() for line in names for name in line.split(",")))
    if not found:
        raise ValueError(f"bibtex: got {text[:40]!r}, expected entries such as @article{{key, author = ...}}")
    return tuple(found.values())


def _closing(text: str, start: int) -> int:
    """The place after the brace that closes the first one from `start` on."""
    depth = 0
    for place in range(text.index("{", start), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise ValueError(f"bibtex: the braces of {text[start : start + 40]!r} do not balance")
