"""The Content-Security-Policy of a page whose style sheet and script are inline.

Both are allowed by their hashes, so nothing that came into a page with its data can style it or run in it.
"""

import base64
import hashlib


def content_security_policy(style: str, script: str, *directives: str) -> str:
    """Write a policy that allows one style sheet and one script, and otherwise only what the directives say.

    Args:
        style: The text of the style element.
        script: The text of the script element.
        *directives: Such as ``img-src data:``; ``default-src`` is ``'none'``.
    """
    return "; ".join(
        (
            "default-src 'none'",
            *directives,
            f"style-src {_hash_source(style)}",
            f"script-src {_hash_source(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
