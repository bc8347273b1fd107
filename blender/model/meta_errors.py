"""Errors of libraries when a model is made and run on the meta device, as sentences for users.

Such a model may be sound: it takes other inputs, or reads values while it runs, and tensors of the meta device have
none. Messages of PyTorch and Python about that (a tensor's shape, an attribute of None) help no user; they stay in the
traceback's chain.
"""

#: errors whose message is about the inside of a library
_INTERNAL = (RuntimeError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
#: all that may be raised
META_ERRORS = (ValueError, *_INTERNAL)


def explain_meta_error(error: Exception, inputs: str) -> str:
    """Say in one sentence why a model cannot be run on the meta device.

    Args:
        error: What was raised.
        inputs: What it was run on, such as ``images of 32 pixels``.
    """
    lines = str(error).strip().splitlines() or [""]
    if lines[0].startswith("Unrecognized configuration class"):
        return "transformers opens no model of this kind by itself"
    if "meta tensor" in lines[0]:
        return "it looks at numbers while it runs, so it cannot be tried before its weights are read"
    if not lines[0] or isinstance(error, _INTERNAL) or "unpack" in lines[0]:
        return f"it cannot be run on {inputs} alone, or the sizes in its config.json do not fit together"
    return lines[0]
