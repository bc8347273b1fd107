"""JSON as Python's ``json`` writes it, and as people edit it, made into the JSON of the standard.

``json.dump`` writes ``NaN`` and ``Infinity``, which are read as null here, and lone halves of surrogate pairs, which
are read as U+FFFD, the sign for what cannot be shown. A comma before a closing bracket is left out. All of that happens
outside and inside of strings as it should, and only to what could not be read as it is.
"""

import re

_TOKEN = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'  # a string
    rb"|\bNaN\b|-?\bInfinity\b"
    rb"|,(?=[ \t\r\n]*[\]}])",
    re.DOTALL,
)
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\."
)
#: length of an escape that is no pair; any other escape is shorter, or not taken up whole
_HALF = 6
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def repaired(content: bytes) -> bytes:
    """Return JSON in which what only Python reads is replaced; other faults stay as they are."""
    return _TOKEN.sub(_token, content.removeprefix(_BYTE_ORDER_MARK))


def place_before(content: bytes, place: int) -> int:
    """Return the place in the content of a place in what it is repaired to."""
    shift = len(content) - len(content.removeprefix(_BYTE_ORDER_MARK))
    for match in _TOKEN.finditer(content):
        if match.start() - shift >= place:
            break
        if match.group() == b"NaN":
            shift -= 1
    return place + shift


def _token(match: re.Match[bytes]) -> bytes:
    token = match.group()
    if token.startswith(b'"'):
        return _ESCAPES.sub(_escape, token) if b"\\u" in token else token
    # as long as before, where that can be, so that places in the file stay true
    return b" " if token == b"," else b"null".ljust(len(token))


def _escape(match: re.Match[bytes]) -> bytes:
    escape = match.group()
    return rb"\ufffd" if len(escape) == _HALF else escape
