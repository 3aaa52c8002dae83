"""The chosen variant made ready for a device, and written.

finish        calibrated, with threshold, golden cases and metadata
golden        pictures whose answers are steady, but not under a fault
others        how well the file tells what is none of its classes, for its card
package       the file, read back before it gets its name
temperature   probabilities that mean what they say
threshold     when the answer is "unknown"

To add a step: `finish`; before `package`, since what is appended is lost when the flatbuffer is rewritten.
"""
