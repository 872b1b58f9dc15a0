"""Text made from a work's metadata: "{title} ({year})". Links too, let through only where they are harmless."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

_FIELD = re.compile(r"\{([^{}]+)\}")
_EMPTY_BRACKETS = re.compile(r"\s*(\(\s*\)|\[\s*\])")
_REPEATED = re.compile(r"\s*([,;:/·–—-])\s*(?=[,;:/·–—-]\s)")
_LOOSE_ENDS = " \t,;:/·–—-"


def fields(template: str) -> list[str]:
    """The columns that a template names, in order."""
    return _FIELD.findall(template)


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with each {column} replaced by its value; where one is empty, so are the brackets around it and the
    separators beside it: "{artist}, {year}" becomes "Goya" for a work without a year.
    """
    found = [values.get(name, "").strip() for name in fields(template)]
    if found and not any(found):
        return ""
    text = _FIELD.sub(lambda match: values.get(match[1], "").strip(), template)
    if all(found):
        return text
    return _REPEATED.sub("", _EMPTY_BRACKETS.sub("", text)).strip(_LOOSE_ENDS)


def link(template: str, values: Mapping[str, str]) -> str:
    """An address, or "" where a field is empty or the address is neither http, https nor relative.

    A field at the very start is a whole address and taken as it is; elsewhere its value is percent-encoded.
    """
    if not all(values.get(name, "").strip() for name in fields(template)):
        return ""

    def value(match: re.Match[str]) -> str:
        text = values[match[1]].strip()
        return text if match.start() == 0 else quote(text, safe="")

    address = _FIELD.sub(value, template)
    return address if is_harmless(address) else ""


def is_harmless(address: str) -> bool:
    """Whether it is http, https or relative to the page, as every browser reads it (they drop tabs and line breaks, and
    take a backslash for a slash).
    """
    if any(ord(c) <= 32 or c == "\\" for c in address) or address.startswith("//"):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in ("http", "https") and bool(parts.netloc)
    return ":" not in address.partition("/")[0]
