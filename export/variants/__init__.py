"""export.variants"""
