"""Seeded bugs by name."""


class Bugs(dict):
    """Functions that put a mistake in, by what they get wrong: `@BUGS.add("a wrong factor")`."""

    def add(self, name):
        """The decorator; a name is used once."""
        assert name not in self, name

        def register(function):
            self[name] = function
            return function

        return register
