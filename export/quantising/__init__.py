"""export.quantising"""
