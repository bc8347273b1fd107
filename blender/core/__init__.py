"""What every part of the program stands on: whole files, folders that belong to us, faults of the system."""
