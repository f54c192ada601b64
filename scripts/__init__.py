"""Scripts for those who work on the tap.

- `python -m scripts.documents --write`: update the documents that are generated from the code.
- `python -m scripts.quickstart`: load the sandbox's account into JSONL files through Meltano.
"""
