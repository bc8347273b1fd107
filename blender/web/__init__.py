"""What the pages of this program share: how a page becomes one file, its security policy, and its look.

:mod:`page` inlines style sheets, scripts and data into a template; :mod:`policy` writes Content-Security-Policies;
``assets/`` holds the style sheets and scripts that every page begins with. Nothing here knows what a page shows.
"""
