"""What the rooms hand each other: dataclasses and protocols that do no work.

decision      what is published for one frame
event         what happens besides the answers
frame         a picture with its time; Source, Capture, Clock
health        how a run and its machine are doing
rejection     when an answer is "unknown"
result        what a classifier answers to one picture, and what a classifier is
sink          what takes decisions and events

To add a field: give it a default, so that what was written yesterday can be read.
"""
