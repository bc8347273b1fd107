"""A trained model over HTTP: OpenAI's chat completions API, and a page to chat in a browser.

A request passes :mod:`guard` (host, origin, key), :mod:`service` (body, admission), :mod:`preparation` (JSON to
tokens and pixels, in processes of their own) and :mod:`engine` (the queue and the model's thread); :mod:`completions`
writes the response. :mod:`app` joins these, :mod:`server` opens the port.
"""
