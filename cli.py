"""The command line from a checkout: ``python cli.py blend RECIPE …`` is ``visualchat blend RECIPE …``."""

from blender.cli import main

if __name__ == "__main__":
    main()
