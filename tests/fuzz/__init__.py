"""Long runs against mutated files: of the scanner (`scanner.py`) and of the whole rehearsal (`sandbox.py`)."""
