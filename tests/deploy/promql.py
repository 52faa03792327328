"""Which metrics and labels a PromQL expression names, told by its tokens.

promtool says whether an expression is well formed; this says what it asks for. It knows just enough of the language for
that: what is left when strings, durations and label lists are taken out, and is not a function, is a metric.
"""

import re
from dataclasses import dataclass

_KEYWORDS = frozenset(
    [
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "inf",
        "nan",
    ]
)
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_AGGREGATION = re.compile(r"\b(sum|min|max|avg|count|topk|bottomk|quantile|stddev|group)\b(?=\s*(?:by|without)\b)")


@dataclass(frozen=True, slots=True)
class Names:
    """What an expression names."""

    metrics: frozenset[str]
    labels: frozenset[str]


def names_in(expression: str) -> Names:
    """The metrics and labels that an expression names."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    labels: set[str] = set()
    for group in re.findall(r"\{([^}]*)\}", text):
        labels.update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", group))
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = _AGGREGATION.sub(" ", text)
    for group in _LABEL_LIST.findall(text):
        labels.update(re.findall(r"\w+", group))
    text = _LABEL_LIST.sub(" ", text)
    words = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)(?!\w)(?!\s*\()", text)
    return Names(frozenset(words) - _KEYWORDS, frozenset(labels))
