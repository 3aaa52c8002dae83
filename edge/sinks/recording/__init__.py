"""A run as a folder that replays exactly.

journal       session.jsonl: what is written, and how it is read
options       what it is asked for with
sink          the sink: the way in

To add what is recorded: an entry in `journal`, optional for the reader; edge/live/replay.py plays it.
"""
