"""What scalars of a variable are called, and what files of a name."""

from urllib.parse import quote


def label(name: str, index: tuple[int, ...]) -> str:
    """theta and (2, 1) as theta[2, 1]."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def as_file(name: str) -> str:
    """A name as that of a file: nothing that leaves its folder or is hidden."""
    quoted = quote(name, safe=" ()+=,")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted
