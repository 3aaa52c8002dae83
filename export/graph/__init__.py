"""A finished flatbuffer, edited and asked.

asking        answers of a flatbuffer to many pictures
edit          temperature, logits, names, evidence map
metadata      the standard metadata that other programs read
residual      doubt that grows with strangeness

To add an edit: a function from bytes to bytes; what is packed behind the flatbuffer comes last.
"""
