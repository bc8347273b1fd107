"""What every part of the program stands on: files, folders that belong to us, faults of the system, blocks of URLs."""
