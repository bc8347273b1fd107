"""Convert JSON as Python's ``json`` writes it, and as people edit it, to valid JSON.

``NaN`` and ``Infinity`` become null, lone halves of surrogate pairs become U+FFFD (the replacement character), and a
comma before a closing bracket is removed. It is applied only to content that could not be read as it is, and changes
nothing inside of strings except surrogates.
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
    """Return JSON in which what only Python reads is replaced; other errors stay as they are."""
    return _TOKEN.sub(_token, content.removeprefix(_BYTE_ORDER_MARK))


def original_position(content: bytes, position: int) -> int:
    """Return the position in the original content of a position in the repaired one."""
    shift = len(content) - len(content.removeprefix(_BYTE_ORDER_MARK))
    for match in _TOKEN.finditer(content):
        if match.start() - shift >= position:
            break
        if match.group() == b"NaN":
            shift -= 1
    return position + shift


def _token(match: re.Match[bytes]) -> bytes:
    token = match.group()
    if token.startswith(b'"'):
        return _ESCAPES.sub(_escape, token) if b"\\u" in token else token
    # of the same length where possible, so that positions in the file stay valid
    return b" " if token == b"," else b"null".ljust(len(token))


def _escape(match: re.Match[bytes]) -> bytes:
    escape = match.group()
    return rb"\ufffd" if len(escape) == _HALF else escape
