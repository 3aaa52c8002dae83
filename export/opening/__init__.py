"""export.opening"""
