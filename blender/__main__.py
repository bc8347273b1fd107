"""``python -m blender``: the command line, as launchers of several processes start it."""

from blender.cli import main

if __name__ == "__main__":
    main()
