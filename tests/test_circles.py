"""No module imports itself by way of others: imports for type checkers and inside functions count too."""

import ast
from pathlib import Path

import networkx

ROOT = Path(__file__).parents[1]
# an import inside a function that closes a circle, where an object has the verb: one a family at most
DOORS = {
    ("samplers.draws.draws", "samplers.draws.stream"),  # Draws.load reads the folder of a streamed run
}


def modules():
    """Every module of the packages, by name."""
    paths = [path for package in ("samplers", "targets") for path in (ROOT / package).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return {name: path for path, name in names.items()}


def imported(path, names):
    """The modules that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                yield whole if whole in names else node.module


def circles(edges):
    graph = networkx.DiGraph(edges)
    return [sorted(found) for found in networkx.strongly_connected_components(graph) if len(found) > 1]


def edges():
    names = modules()
    return {(name, other) for name, path in names.items() for other in imported(path, names) if other in names}


def test_no_circles():
    assert circles(edges() - DOORS) == []


def test_every_door_is_needed():
    assert all(circles(edges() - (DOORS - {door})) for door in DOORS)
