"""XML in and out: documents of requests, hardened; answers put together from escaped text.

Answers are joined strings rather than trees: a page of a thousand keys is on the hot path of every listing.
"""

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from rustfs.http.messages import Response
from rustfs.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
XML = ("content-type", "application/xml")
_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """Text for an element; characters that XML 1.0 cannot hold become references, as S3 writes them."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0]) or f"&#x{ord(match[0]):x};", text)


def element(name: str, text: str | int) -> str:
    """One element with text."""
    return f"<{name}>{escape(str(text))}</{name}>"


def boolean(value: bool) -> str:
    """As XML writes it."""
    return "true" if value else "false"


def document(
    root: str, parts: Iterable[str], *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """An answer with an XML document."""
    text = f'{HEAD}<{root} xmlns="{NAMESPACE}">{"".join(parts)}</{root}>'
    return Response(status, [XML, *headers], text.encode())


@lru_cache(maxsize=4096)
def _iso_seconds(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def iso_time(milliseconds: int) -> str:
    """ISO 8601 with milliseconds, as listings show times."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_iso_seconds(seconds)}.{rest:03d}Z"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=1024)
def http_time(seconds: int) -> str:
    """IMF-fixdate (RFC 9110, 5.6.7)."""
    at = time.gmtime(seconds)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT"
    )


class Node:
    """A parsed element, names without namespace."""

    __slots__ = ("_element",)

    def __init__(self, parsed: Element) -> None:
        self._element = parsed

    @property
    def name(self) -> str:
        """The element's name."""
        return self._element.tag.rpartition("}")[2]

    @property
    def text(self) -> str:
        """Its text."""
        return self._element.text or ""

    def children(self, name: str = "") -> list["Node"]:
        """Child elements, all or those of one name."""
        nodes = [Node(child) for child in self._element]
        return [node for node in nodes if not name or node.name == name]

    def child_text(self, name: str) -> str | None:
        """The text of the first child of that name."""
        for node in self.children(name):
            return node.text
        return None


def parse(data: bytes, root: str) -> Node:
    """Parse a request's document. Raises S3Error MalformedXML."""
    try:
        node = Node(fromstring(data, forbid_dtd=True))
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise S3Error("MalformedXML") from None
    if node.name != root:
        raise S3Error("MalformedXML")
    return node
