"""Numbers as clients write them: digits and nothing else.

int() takes more than that (signs, spaces, underscores, digits of other scripts) and raises for very long ones, which
would turn a client's nonsense into a wrong success or an internal error.
"""

_DIGITS_MAX = 18  # any size, count or number of S3 fits, and the result is below 2**63


def whole_number(text: str) -> int | None:
    """The number that a text of ASCII digits stands for; None for any other text."""
    if 1 <= len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit():
        return int(text)
    return None
