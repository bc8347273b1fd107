"""A trained model over HTTP: the API that OpenAI's clients speak, and a page to talk to it in a browser.

A request goes one way: :mod:`guard` lets it in, :mod:`reading` makes a conversation of it, :mod:`preparing` a session,
:mod:`engine` has the one model answer fairly chosen ones together, :mod:`answering` sends what comes. :mod:`app` puts
these together, :mod:`listening` opens the port.
"""
