"""The warning that targets and samplers give."""


class SamplingWarning(UserWarning):
    """Something about the draws that a reader must know before using them."""
