"""export.teaching"""
