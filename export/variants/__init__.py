"""Variants made, measured, chosen.

choosing      which one is written, under the limits
maker         what the recipes are made with, each made once
making        the table RECIPES: which variants are made, and how
measuring     accuracy, size, time and memory of each
table         the text table for a person
variant       a variant: its bytes, its figures

To add a variant: a row in `making.RECIPES`.
"""
