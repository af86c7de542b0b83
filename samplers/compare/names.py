"""What scalars of a variable are called."""


def label(name: str, index: tuple[int, ...]) -> str:
    """theta and (2, 1) as theta[2, 1]."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name
